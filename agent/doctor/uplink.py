# SPDX-License-Identifier: Apache-2.0
"""The way out: a second NAT on the WAN side, the broker, and the certificates for it (L34-II-4, L34-VI-2).

Source: linux/if_addr.h (ifaddrmsg of 8 octets; IFA_LOCAL 2, IFA_LABEL 3), RFC 1918, RFC 6598 (100.64.0.0/10), RFC 7335
(192.0.0.0/29, what a terminal of 464XLAT or DS-Lite has).
"""

import errno
import select
import socket
import time

from agent.capture.lan import is_private
from agent.capture.netlink import Malformed, attributes
from agent.config import uci
from agent.doctor import certificate
from agent.doctor.catalogue import NOTE, Finding
from agent.runtime import sockets, x509

_GET_ADDRESS, _IFADDRMSG, _LOCAL, _LABEL = 22, 8, 2, 3
_INET = b"\2"
PATIENCE = 5000  # milliseconds for each address of the broker to take a TCP connection
SOON = 30 * 86400  # seconds


def second_nat(gateway: "Gateway") -> "Iterator[Finding]":
    """Yield whether the WAN address is one that the internet can't see. The address itself is told to nobody."""
    names = list(gateway.config.gateway.wan)
    devices = names + uci.devices(names, gateway.paths.network_file())
    found = []

    def take(buffer: bytearray, at: int, end: int) -> None:
        local = label = b""
        for kind, value, stop in attributes(buffer, at + _IFADDRMSG, end):
            if kind == _LOCAL and stop - value == 4:
                local = bytes(buffer[value:stop])
            elif kind == _LABEL:
                label = bytes(buffer[value:stop]).split(b"\0")[0].split(b":")[0]
        device = label.decode()
        # netifd calls the interface of a network with a protocol of its own pppoe-wan, l2tp-wan, 464-wan6.
        if local and (device in devices or any(device.endswith("-" + name) for name in names)):
            found.append(is_private(local))

    try:
        gateway.dump(sockets.NETLINK_ROUTE, _GET_ADDRESS, _INET + bytes(_IFADDRMSG - 1), take)
    except (OSError, Malformed):
        found = []
    if not found:
        yield Finding("wan", "gateway.wan has no IPv4 address: " + ", ".join(names))
    elif any(found):
        finding = Finding("second-nat", "the WAN address is private, shared (100.64.0.0/10), or that of a translator")
        attribution = gateway.config.purposes.get("attribution")
        if attribution and attribution.upstream_nat:
            finding.severity = NOTE
        yield finding


def broker(gateway: "Gateway") -> "Iterator[Finding]":
    """Open a TCP connection to each of the broker's hosts and close it: nothing is sent."""
    mqtt = gateway.config.mqtt
    if not mqtt.host:
        yield Finding("broker-missing", "no broker is configured: mqtt.host is missing")
        return
    for host in mqtt.host:
        try:
            addresses = socket.getaddrinfo(host, mqtt.port, 0, socket.SOCK_STREAM)
        except OSError:
            addresses = []
        if not addresses:
            yield Finding("broker", "the broker's name can't be resolved")
        elif not any(_answers(address) for address in addresses):
            yield Finding("broker", "the broker takes no TCP connection within " + str(PATIENCE // 1000) + " s")


def _answers(address: "tuple[Any, ...]") -> bool:
    """Return True if one address, as getaddrinfo gives it, takes a TCP connection in time."""
    end = socket.socket(address[0], address[1], address[2])
    try:
        end.setblocking(False)
        try:
            end.connect(address[-1])
        except OSError as failure:
            if failure.errno != errno.EINPROGRESS:
                return False
        poll = select.poll()
        poll.register(end, select.POLLOUT)
        # A refusal shows as POLLERR or POLLHUP beside it.
        return [event[1] for event in poll.poll(PATIENCE)] == [select.POLLOUT]
    finally:
        end.close()


def certificates(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that there is TLS, and dates.

    Of a bundle one CA that is valid is enough; of the client's own chain the first certificate counts.
    """
    mqtt = gateway.config.mqtt
    if gateway.config.exposed:
        yield Finding("plain-text", "mqtt.insecure is 1 and the broker is another machine")
    if gateway.config.plain:
        return
    seconds = gateway.wall() // 1000000000
    now, soon = _digits(seconds), _digits(seconds + SOON)
    for option, path, any_of in (("ca", mqtt.ca, True), ("certificate", mqtt.certificate, False)):
        if path is None:
            continue
        last, valid = "", False
        try:
            for not_before, not_after in certificate.validities(path):
                valid = valid or not_before <= now < not_after
                last = max(last, not_after if not_before <= now else "")
                if not any_of:
                    break
        except (OSError, x509.NotACertificate):
            last = ""
            valid = False
        if not valid:
            yield Finding("certificate", "mqtt." + option + ": the file holds no certificate that is valid now")
        elif last < soon:
            yield Finding(
                "certificate-ending",
                "mqtt." + option + ": valid until " + last[:4] + "-" + last[4:6] + "-" + last[6:8] + " only",
            )


def _digits(seconds: int) -> str:
    """Write a time since the epoch as YYYYMMDDHHMMSS, UTC."""
    return "%04d%02d%02d%02d%02d%02d" % tuple(time.gmtime(seconds)[:6])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.doctor.gateway import Gateway
