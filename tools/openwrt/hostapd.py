# SPDX-License-Identifier: Apache-2.0
"""Puts OpenWrt's ubus part into hostapd 2.10, run in its source tree: `python3 hostapd.py PACKAGE`.

PACKAGE is the folder of OpenWrt's hostapd, which is for a snapshot of 2026. Its patch 600 leaves five places alone
here, which are set by name below; what 2.10 doesn't have yet is cut out of ubus.c. An open network on nl80211 is all
that this hostapd is for.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

REQUEST = "\tstruct hostapd_ubus_request req = {\n\t\t.type = HOSTAPD_UBUS_%s,\n%s\t};\n\n"
FRAME = "\t\t.mgmt_frame = mgmt,\n\t\t.ssi_signal = %s,\n"
# file, what a function begins with, before which line of it, what is put there
PLACES = (
    (
        "ieee802_11.c",
        "static void handle_auth(struct hostapd_data *hapd,",
        "\n\tif (len < IEEE80211_HDRLEN + sizeof(mgmt->u.auth))",
        "\n" + REQUEST % ("AUTH_REQ", FRAME % "rssi"),
    ),
    (
        "ieee802_11.c",
        "static void handle_deauth(",
        "\tsta = ap_get_sta(hapd, mgmt->sa);",
        '\thostapd_ubus_notify(hapd, "deauth", mgmt->sa);\n\n',
    ),
    (
        "drv_callbacks.c",
        "int hostapd_notif_assoc(",
        "\tif (addr == NULL)",
        REQUEST % ("ASSOC_REQ", "\t\t.addr = addr,\n"),
    ),
    (
        "beacon.c",
        "void handle_probe_req(",
        "\tif (hapd->iconf->rssi_ignore_probe_request",
        REQUEST % ("PROBE_REQ", FRAME % "ssi_signal" + "\t\t.elems = &elems,\n"),
    ),
)
CONFIGURATION = (
    "DRIVER_NL80211=y LIBNL_TINY=y UBUS=y IEEE80211N=y IEEE80211AC=y IEEE80211AX=y WNM=y TLS=internal "
    "INTERNAL_LIBTOMMATH=y NO_RANDOM_POOL=y"
)


def put(path: Path, start: str, before: str, text: str) -> None:
    """Put a text into the function that begins with `start`, before the first `before` there."""
    whole = path.read_text()
    at = whole.index(before, whole.index(start))
    path.write_text(whole[:at] + text + whole[at:])


def stations(path: Path) -> None:
    """Let it say who is let in and who goes; 2.10 has other fields for how somebody was let in."""
    text = path.read_text()
    connected = text.index("AP_STA_CONNECTED", text.index("void ap_sta_set_authorized("))
    said = text.rindex("\t\twpa_msg(", 0, connected)
    text = text[:said] + "\t\thostapd_ubus_notify_authorized(hapd, sta, NULL);\n" + text[said:]
    gone = text.index(";\n", text.index("AP_STA_DISCONNECTED", said)) + 2
    text = text[:gone] + '\t\thostapd_ubus_notify(hapd, "disassoc", sta->addr);\n' + text[gone:]
    fields = text.index("\t\tif (sta->auth_alg < ARRAY_SIZE(auth_algs))")
    path.write_text(text[:fields] + text[text.index("\t\tkeyid = ap_sta_wpa_get_keyid", fields) :])


def older(path: Path) -> None:
    """Cut what 2.10 doesn't have out of ubus.c: OpenWrt's statistics, 802.11be, a station's bandwidth."""
    text = re.sub(r"hapd->openwrt_stats[\w.]+", "0", path.read_text())
    text = text.replace("\t\t\t\tcss.freq_params.eht_enabled,\n", "").replace(
        ",\n\t\t\t\tmode ? &mode->eht_capab[IEEE80211_MODE_AP] :\n\t\t\t\tNULL,\n"
        "\t\t\t\thostapd_get_punct_bitmap(hapd));",
        ");",
    )
    bandwidth = text.index("\tif (sta->bandwidth[0]")
    path.write_text(text[:bandwidth] + text[text.index('\tubus_notify(ctx, &hapd->ubus.obj, "sta-authorized"') :])


def main() -> None:
    """Change the tree in the present folder."""
    package, here = Path(sys.argv[1]), Path("src/ap")
    for name in ("ubus.c", "ubus.h"):
        shutil.copy(package / "src/src/ap" / name, here)
    patch: list[str | Path] = ["patch", "-p1", "-N", "-s", "-i", package / "patches/600-ubus_support.patch"]
    subprocess.run(patch, stdout=subprocess.DEVNULL, check=False)  # nine of its hunks are for the snapshot
    for name, start, before, text in PLACES:
        put(here / name, start, before, text)
    stations(here / "sta_info.c")
    older(here / "ubus.c")
    makefile = Path("hostapd/Makefile")
    both = "OBJS += ../src/ap/ubus.o\n", "OBJS += ../src/ap/ubus.o ../src/utils/base64.o\n"
    makefile.write_text(makefile.read_text().replace(*both, 1))
    Path("hostapd/.config").write_text("".join(f"CONFIG_{one}\n" for one in CONFIGURATION.split()))


if __name__ == "__main__":
    main()
