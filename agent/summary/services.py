# SPDX-License-Identifier: Apache-2.0
"""Service classes: at most twelve, fixed here, from protocol and destination port alone (L34-VI-1).

Configuration can't add a class, an address or a domain: a class never says more than the port already did.
"""

CLASSES = (
    "other",
    "web",  # TCP and QUIC alike: one activity, two transports
    "dns",  # name look-ups, plain or over TLS
    "mail",  # fetching and submitting
    "calls",  # SIP and STUN/TURN set-up: voice and video
    "vpn",  # tunnels by their usual ports, and GRE and ESP as such
    "remote",  # shells and desktops
    "files",  # file transfer and shares
    "time",  # clock synchronisation: every device, no person
    "push",  # messaging and notification channels kept open
    "icmp",  # echo and errors
)
OTHER, WEB, DNS, MAIL, CALLS, VPN, REMOTE, FILES, TIME, PUSH, ICMP = range(11)

PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}
_TCP, _UDP = 6, 17
# Sources of ports: IANA service names registry; 5223, 5228-5230: Apple and Google
# push; 41641, 51820: WireGuard's usual ones.
_BOTH = {
    53: DNS,
    80: WEB,
    123: TIME,
    443: WEB,
    500: VPN,
    853: DNS,
    1194: VPN,
    3389: REMOTE,
    3478: CALLS,
    3479: CALLS,
    3480: CALLS,
    3481: CALLS,
    4500: VPN,
    5060: CALLS,
    5061: CALLS,
    5349: CALLS,
    5900: REMOTE,
    8080: WEB,
    8443: WEB,
    19302: CALLS,
}
_TCP_ONLY = {
    20: FILES,
    21: FILES,
    22: REMOTE,
    23: REMOTE,
    25: MAIL,
    110: MAIL,
    143: MAIL,
    445: FILES,
    465: MAIL,
    587: MAIL,
    990: FILES,
    993: MAIL,
    995: MAIL,
    1723: VPN,
    1883: PUSH,
    2049: FILES,
    5222: PUSH,
    5223: PUSH,
    5228: PUSH,
    5229: PUSH,
    5230: PUSH,
    8883: PUSH,
}
_UDP_ONLY = {1701: VPN, 41641: VPN, 51820: VPN}
_PROTOCOLS = {1: ICMP, 58: ICMP, 47: VPN, 50: VPN}
# protocol: class of each port that has one
PORTS = {_TCP: dict(_BOTH), _UDP: dict(_BOTH)}
PORTS[_TCP].update(_TCP_ONLY)
PORTS[_UDP].update(_UDP_ONLY)


def service_of(protocol: int, port: int) -> int:
    """Return the class number of an IP protocol number and a destination port (0 where there is none)."""
    ports = PORTS.get(protocol)
    return _PROTOCOLS.get(protocol, OTHER) if ports is None else ports.get(port, OTHER)
