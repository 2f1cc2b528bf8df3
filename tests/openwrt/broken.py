# SPDX-License-Identifier: Apache-2.0
"""What is broken on purpose on a gateway on which all is well, and what `oubli doctor` must call it.

A row's lines are for the gateway's shell, as root, but for three words that a world does in its own way:

    set SECTION.OPTION [VALUE]   write an option of /etc/config/oubli, or take it
                                 out; a row's end brings the whole file back
    restart                      /etc/init.d/oubli restart, until the recorder answers
    end INSTANCE                 end one of the service's processes, so that procd starts it no more until `restart`

$WAN is the interface that leads out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class World(Protocol):
    """A gateway with both packages, a broker, a WAN address that is public, and a trusted clock."""

    def shell(self, line: str) -> None:
        """Run a line as root."""

    def set(self, option: str, value: str | None) -> None:
        """Write an option, None takes it out."""

    def restart(self) -> None:
        """Start the service anew and wait until the recorder answers."""

    def end(self, instance: str) -> None:
        """End a process of the service for good."""


@dataclass(frozen=True)
class Broken:
    """`name`: what doctor must find, `also` what follows from it.

    `here`: in a root with busybox on this machine's kernel too.
    """

    name: str
    steps: str
    mend: str = ""
    also: tuple[str, ...] = ()
    here: bool = True


def run(world: World, lines: str) -> None:
    """Do a row's lines."""
    for line in lines.splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "set":
                option, _, value = rest.partition(" ")
                world.set(option, value or None)
            case "restart":
                world.restart()
            case "end":
                world.end(rest)
            case _:
                world.shell(line)


_SWITCH = "sysctl -w net.netfilter.nf_conntrack_{}={}"
# A purpose with the custodian's keys
_SEALED = "set billing.enabled 1\nset billing.lifetime 30d\nset billing.budget 4194304"
BROKEN = (
    Broken("configuration", "echo \"config later 'later'\" >>/etc/config/oubli"),
    Broken("recorder", "end recorder", "restart"),
    Broken("forwarder", "end forwarder", "restart"),
    Broken("watch", "end watch", "restart"),
    Broken("page", "end page", "restart"),
    Broken("no-lan", "set gateway.lan guest\nrestart", "restart"),
    Broken("unconnected", "set mqtt.port 8450\nrestart", "restart"),
    Broken(
        "flash-refuses",
        "chown -R root /srv/oubli/audit; chmod 0700 /srv/oubli/audit; chmod 0600 /srv/oubli/audit/*\n"
        "oubli erase --purpose security",
        "restart",
    ),
    Broken("folders", "chmod 0755 /srv/oubli-spool", "restart"),
    Broken(
        "secret",
        "echo secret >/etc/oubli/password; chmod 0644 /etc/oubli/password\nset mqtt.password_file /etc/oubli/password",
    ),
    Broken("events", _SWITCH.format("events", 2), _SWITCH.format("events", 1)),
    Broken("acct", _SWITCH.format("acct", 0), _SWITCH.format("acct", 1)),
    Broken("timestamp", _SWITCH.format("timestamp", 0), _SWITCH.format("timestamp", 1)),
    Broken(
        "table-size",
        "sysctl -n net.netfilter.nf_conntrack_max >/tmp/most; sysctl -w net.netfilter.nf_conntrack_max=9000000",
        "sysctl -w net.netfilter.nf_conntrack_max=$(cat /tmp/most)",
        here=False,
    ),
    Broken(
        "root",
        "mv /sbin/ujail /sbin/ujail.away\nrestart",
        "mv /sbin/ujail.away /sbin/ujail\nrestart",
        also=("unfiltered",),
    ),
    Broken(
        "unfiltered",
        "mv /lib/libpreload-seccomp.so /lib/away\nrestart",
        "mv /lib/away /lib/libpreload-seccomp.so\nrestart",
    ),
    Broken(
        "offload",
        "nft 'add table inet f; add flowtable inet f t { hook ingress priority 0; devices = { '$WAN' }; }'",
        "nft delete table inet f",
        here=False,
    ),
    Broken("wan", "set gateway.wan nothing"),
    Broken("second-nat", "ip addr add 192.168.77.7/24 dev $WAN", "ip addr del 192.168.77.7/24 dev $WAN"),
    Broken("broker-missing", "set mqtt.host"),
    Broken("broker", "set mqtt.port 1"),
    Broken("plain-text", "set mqtt.host 127.1.\nset mqtt.insecure 1", also=("broker",)),
    Broken("certificate", "echo nonsense >/etc/oubli/ca.pem\nset mqtt.ca /etc/oubli/ca.pem"),
    Broken("bundle-missing", _SEALED, also=("agents", "bundle-refused")),
    Broken(
        "bundle-refused",
        "echo nonsense >/etc/oubli/custodian.pub\n" + _SEALED,
        "rm /etc/oubli/custodian.pub",
        also=("agents", "bundle-missing"),
    ),
    Broken(
        "agents",
        "echo nonsense >/etc/oubli/agents; chmod 0666 /etc/oubli/agents\n" + _SEALED,
        "rm /etc/oubli/agents",
        also=("bundle-missing", "bundle-refused"),
    ),
    Broken(
        "store",
        "echo nonsense >/srv/oubli-root/store-attribution",
        "rm /srv/oubli-root/store-attribution",
        also=("agents", "duty", "duty", "duty"),
    ),
    Broken("tmpfs", "mount -o bind /proc /var/run/oubli/vault", "umount /var/run/oubli/vault", also=("folders",)),
    Broken(
        "swap",
        "dd if=/dev/zero of=/overlay/swap bs=1M count=1; mkswap /overlay/swap; swapon /overlay/swap",
        "swapoff /overlay/swap; rm /overlay/swap",
        here=False,
    ),
    Broken("flash", "dd if=/dev/zero of=/srv/filler bs=1M", "rm /srv/filler", here=False),
    Broken(
        "libsodium",
        "find / -xdev -name 'libsodium.so*' | while read -r file; do mv $file $file.away; done",
        "find / -xdev -name 'libsodium.so*.away' | while read -r file; do mv $file ${file%.away}; done",
    ),
    Broken("clock-wrong", "date +%s >/tmp/now; date -s '2020-01-01 00:00:00'", "date -s @$(cat /tmp/now)", here=False),
    Broken(
        "clock-untrusted",
        "set gateway.hardware_clock 0\nend recorder\nrm -f /var/run/oubli/clock\nrestart",
        "end recorder\nrm -f /var/run/oubli/clock\nrestart",
    ),
    Broken(
        "clock-battery",
        "end recorder\ncp /var/run/oubli-root/clock /tmp/clock; : >/var/run/oubli-root/clock; rm -f "
        "/var/run/oubli/clock\nrestart",
        "end recorder\nmv /tmp/clock /var/run/oubli-root/clock; rm -f /var/run/oubli/clock\nrestart",
        also=("clock-untrusted",),
    ),
)
