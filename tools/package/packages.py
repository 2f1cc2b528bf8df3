# SPDX-License-Identifier: Apache-2.0
"""The packages that a board's files are cut into: what each says of itself, what it needs, and its scripts.

`oubli` is what every gateway needs. What is off by default, and LuCI's view, are packages of their own: a file of this
name in boards/packages lists what they have. A line is a path from the root; a folder with all below it; a module of
the agent without its ending.
"""

from dataclasses import dataclass

from agent import VERSION
from tools.package.board import BOARDS

CONFIG = "/etc/config/oubli"
RELEASE = f"{VERSION}-r1"
LICENSE = "Apache-2.0"

DEPENDS = ("micropython-mbedtls", "libsodium", "zlib", "kmod-nf-conntrack-netlink", "procd-ujail")
# user:group of each; the portal's user and the operators' group are roles of the control socket (agent.control.calls).
USERS = "oubli-rec:oubli-spool oubli-fwd:oubli-spool oubli-portal:oubli-portal :oubli-op"

# Scripts, as OpenWrt's build makes them: the system's own functions do the work, offline roots included.
_HEAD = """#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
"""
# A daemon that runs while its files are exchanged would import some of either version. opkg's
# prerm stops it too, apk has none then.
STOP = """[ -n "${IPKG_INSTROOT}" ] || [ ! -x /etc/init.d/oubli ] || /etc/init.d/oubli stop
"""
# Whatever the device holds goes before the code that could destroy it on time goes (EXP-1): keys first, then the files.
# Where that fails, opkg's removal fails. apk's goes on: keys and open sessions are overwritten without that code then,
# no link is followed, and what the next process of this boot reads stamps by stays.
FORGET = """if [ -z "${IPKG_INSTROOT}" ] && [ "${PKG_UPGRADE}" != 1 ]; then
	/etc/init.d/oubli stop
	if ! /usr/bin/oubli forget everything; then
		for file in /var/run/oubli/keys /var/run/oubli/billing /srv/oubli/device.key; do
			[ -f $file ] && [ ! -L $file ] || continue
			dd if=/dev/zero of=$file bs=$(wc -c <$file) count=1 conv=notrunc 2>/dev/null
		done
		for file in /var/run/oubli/* /srv/oubli/device.key; do
			case $file in */lines | */timeouts) ;; *) rm -rf "$file" ;; esac
		done
		exit 1
	fi
	rmdir /var/run/oubli-live /srv/oubli /srv/oubli-spool
	rm -rf /var/run/oubli-root /var/run/oubli-portal /etc/oubli/accepted /srv/oubli-root
fi
"""
# The same for what only these modules can destroy, and the kernel's table of port blocks.
FORGET_PURPOSES = """if [ -z "${IPKG_INSTROOT}" ] && [ "${PKG_UPGRADE}" != 1 ]; then
	/etc/init.d/oubli stop
	/usr/bin/oubli forget purposes || exit 1
	[ ! -e /var/run/oubli/blocks ] || nft delete table ip oubli
	rm -f /var/run/oubli/blocks
fi
"""
# A service that was on goes on: with these modules, or without them.
START = """if [ -z "${IPKG_INSTROOT}" ] && /etc/init.d/oubli enabled; then
	/etc/init.d/oubli start
fi
"""
# rpcd reads its plugins and who may call them, ubusd who may call what, when they are told to.
TELL = """[ -n "${IPKG_INSTROOT}" ] || killall -q -HUP ubusd rpcd || :
"""


@dataclass(frozen=True)
class Package:
    """One package; `stop`, `after`, `forget`, `left` are shell: before files come, then, before they go, after."""

    name: str
    description: str
    depends: tuple[str, ...] = ()  # beside `oubli` of the same version, and, of that one, what its interpreter needs
    users: str = ""
    conffiles: tuple[str, ...] = ()
    stop: str = ""
    after: str = ""
    forget: str = ""
    left: str = ""

    @property
    def scripts(self) -> dict[str, str]:
        """Return opkg's scripts."""
        made = {
            "preinst": "#!/bin/sh\n" + self.stop if self.stop else "",
            "postinst": _HEAD + 'default_postinst "$0" "$@"\n' + self.after,
            "prerm": _HEAD + self.forget + 'default_prerm "$0" "$@"\n',
            "postrm": "#!/bin/sh\n" + _unless_upgraded(self.left) if self.left else "",
        }
        return {name: text for name, text in made.items() if text}

    @property
    def apk_scripts(self) -> dict[str, str]:
        """Return apk's scripts."""
        head = f'export root="${{IPKG_INSTROOT}}"\nexport pkgname="{self.name}"\n'
        upgraded = _HEAD.replace("#!/bin/sh\n", "#!/bin/sh\nexport PKG_UPGRADE=1\n")
        done = head + "add_group_and_user\ndefault_postinst\n" + self.after
        made = {
            "pre-install": "#!/bin/sh\n" + self.stop if self.stop else "",
            "pre-upgrade": "#!/bin/sh\n" + self.stop if self.stop else "",
            "post-install": _HEAD + done,
            "post-upgrade": upgraded + done,
            "pre-deinstall": _HEAD + head + self.forget + "default_prerm\n",
            "post-deinstall": "#!/bin/sh\n" + self.left if self.left else "",
        }
        return {name: text for name, text in made.items() if text}

    def has(self, path: str) -> bool:
        """Return True if its list names a file, by its path from the root."""
        return self.name != OUBLI and any(
            path == line or path.startswith((line + "/", line + ".")) for line in listed(self.name)
        )

    def needs(self) -> list[tuple[str, str]]:
        """Return what it depends on: names, each with the version that it must have, "" for any."""
        own = DEPENDS if self.name == OUBLI else self.depends
        return [(name, "") for name in own] + ([(OUBLI, RELEASE)] if self.name != OUBLI else [])


def _unless_upgraded(script: str) -> str:
    return '[ "${PKG_UPGRADE}" != 1 ] || exit 0\n' + script


def listed(name: str) -> list[str]:
    """Return the lines of a package's list."""
    return [
        line for line in (BOARDS / "packages" / name).read_text(encoding="utf-8").splitlines() if line.startswith("/")
    ]


OUBLI = "oubli"
PACKAGES = (
    Package(
        OUBLI,
        "Agent for hotspot gateways that forgets: metadata only, kept as long as L34-1 lets it, "
        "anonymous sums over MQTT",
        users=USERS,
        conffiles=(CONFIG,),
        stop=STOP,
        forget=FORGET,
    ),
    Package(
        "oubli-purposes",
        "oubli's purposes that are off by default: attribution, billing, services and location by consent, "
        "the guests' page",
        stop=STOP,
        after=START + TELL,
        forget=FORGET_PURPOSES,
        left=START,
    ),
    Package(
        "luci-app-oubli",
        "oubli in LuCI: what is kept, what is lost, what the law allows",
        depends=("luci-base",),
        after=TELL,
    ),
)
