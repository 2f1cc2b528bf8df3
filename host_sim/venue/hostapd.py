# SPDX-License-Identifier: Apache-2.0
"""A fake peer: ubusd with the radios of a hostapd on it, as the recorder meets them on OpenWrt (L34-V-1, L34-V-5).

It speaks ubus on a unix socket. It does what ubusd and hostapd's ubus object do for a client that looks up, subscribes
and calls `get_clients`. It says all that hostapd says of a terminal, signal strength included, so that a test can look
for it afterwards. Its octets are made here, by its own few lines, from ubusmsg.h, blob.h and hostapd's src/ap/ubus.c:
it shares no code with the agent. The real `ubus` command talks to it (list, call, subscribe).
"""

import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

HELLO, STATUS, DATA, PING, LOOKUP, INVOKE, ADD_OBJECT, REMOVE_OBJECT, SUBSCRIBE, UNSUBSCRIBE, NOTIFY = range(11)
A_STATUS, A_PATH, A_OBJECT, A_METHOD, A_TYPE, A_SIGNATURE, A_DATA, A_TARGET, A_ACTIVE, A_NO_REPLY = range(1, 11)
INVALID_COMMAND, INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND, NO_DATA, PERMISSION_DENIED = range(1, 7)
T_ARRAY, T_TABLE, T_STRING, T_INT64, T_INT32, T_INT16, T_INT8 = range(1, 8)
SIGNAL = 0xFFFFFFC4  # -60 dBm: what must never be read


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def blob(number: int, value: bytes) -> bytes:
    """Return an attribute of a message."""
    return _padded(struct.pack(">I", number << 24 | len(value) + 4) + value)


def number(which: int, value: int) -> bytes:
    """Return an attribute with a 32-bit number."""
    return blob(which, struct.pack(">I", value))


def named(name: str, value: object) -> bytes:
    """Return a named attribute: tables are dicts, arrays lists, numbers of 32 bits ints, of 8 bits bools."""
    head = _padded(struct.pack(">H", len(name)) + name.encode() + b"\0")
    if isinstance(value, dict):
        kind, octets = T_TABLE, b"".join(named(key, one) for key, one in value.items())
    elif isinstance(value, list):
        kind, octets = T_ARRAY, b"".join(named("", one) for one in value)
    elif isinstance(value, str):
        kind, octets = T_STRING, value.encode() + b"\0"
    elif isinstance(value, bool):
        kind, octets = T_INT8, bytes((value,))
    else:
        kind, octets = T_INT32, struct.pack(">I", value)
    return _padded(struct.pack(">I", 1 << 31 | kind << 24 | 4 + len(head) + len(octets)) + head + octets)


def table(values: dict) -> bytes:
    """Return what stands in an attribute DATA."""
    return b"".join(named(key, value) for key, value in values.items())


def attributes(octets: bytes) -> dict[int, bytes]:
    """Return a message's attributes by number."""
    found, at = {}, 0
    while at < len(octets):
        (word,) = struct.unpack_from(">I", octets, at)
        size = word & 0xFFFFFF
        found[word >> 24 & 127] = octets[at + 4 : at + size]
        at += size + 3 & ~3
    return found


@dataclass
class _Radio:
    name: str
    object: int
    clients: dict[str, dict] = field(default_factory=dict)
    subscribers: list[tuple["_Client", int]] = field(default_factory=list)  # and their objects


class _Client:
    def __init__(self, peer: socket.socket, identity: int) -> None:
        self.socket, self.identity = peer, identity
        self.objects: list[int] = []

    def send(self, kind: int, sequence: int, peer: int, octets: bytes) -> None:
        self.socket.sendall(struct.pack(">BBHII", 0, kind, sequence, peer, 4 + len(octets)) + octets)


class Hostapd:
    """Serves at `path` until it is closed.

    `said` counts what was asked of it, by method; `allowed` False refuses as an ACL does.
    """

    def __init__(self, path: Path, *radios: str) -> None:
        self.said: dict[str, int] = {}
        self.answers = 0  # to notifications that wait for one
        self.allowed = True
        self.notify_response = False
        self._lock = threading.RLock()
        self._radios: dict[int, _Radio] = {}
        self._clients: list[_Client] = []
        self._next = 0x1000
        self._closed = False
        for name in radios:
            self.add(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(8)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    # What happens on the air

    def add(self, name: str) -> None:
        """Bring a radio up."""
        with self._lock:
            self._next += 1
            self._radios[self._next] = _Radio(name, self._next)

    def remove(self, name: str) -> None:
        """Take a radio down; its subscribers are told."""
        with self._lock:
            radio = self._radio(name)
            del self._radios[radio.object]
            for client, own in radio.subscribers:
                client.send(UNSUBSCRIBE, 1, 0, number(A_OBJECT, own) + number(A_TARGET, radio.object))

    def associate(self, mac: str, name: str) -> None:
        """Let a terminal come to a radio: it probes, authenticates, associates, and is let in."""
        with self._lock:
            radio = self._radio(name)
            heard = {"address": mac, "target": "02:00:00:00:00:01", "signal": SIGNAL, "freq": 5180}
            for kind in ("probe", "auth", "assoc"):
                self._notify(radio, kind, heard)
            flags = {"auth": True, "assoc": True, "authorized": True, "wds": False}
            radio.clients[mac] = flags | {"rrm": [0, 0], "aid": 1, "bytes": {"rx": 1, "tx": 2}, "signal": SIGNAL}
            self._notify(radio, "sta-authorized", {"address": mac, "auth-alg": "open"})

    def leave(self, mac: str, name: str, kind: str = "disassoc") -> None:
        """Let a terminal leave a radio."""
        with self._lock:
            radio = self._radio(name)
            radio.clients.pop(mac, None)
            self._notify(radio, kind, {"address": mac})

    def subscribers(self) -> int:
        """Return how many subscriptions there are."""
        with self._lock:
            return sum(len(radio.subscribers) for radio in self._radios.values())

    def _radio(self, name: str) -> _Radio:
        return next(radio for radio in self._radios.values() if radio.name == name)

    def _notify(self, radio: _Radio, kind: str, values: dict) -> None:
        for client, own in radio.subscribers:
            octets = b"" if self.notify_response else blob(A_NO_REPLY, b"\1")
            octets += number(A_OBJECT, own) + blob(A_METHOD, kind.encode() + b"\0") + blob(A_DATA, table(values))
            client.send(INVOKE, 7, 0x77, octets)

    # What clients ask

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.settimeout(20)  # somebody who doesn't read holds nobody up for ever
            with self._lock:
                self._next += 1
                client = _Client(peer, self._next)
                self._clients.append(client)
                client.send(HELLO, 0, client.identity, b"")
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: _Client) -> None:
        try:
            with client.socket.makefile("rb") as stream:
                while head := stream.read(12):
                    _, kind, sequence, peer, size = struct.unpack(">BBHII", head)
                    octets = stream.read((size & 0xFFFFFF) - 4)
                    with self._lock:
                        status = self._answer(client, kind, sequence, peer, attributes(octets))
                        if status >= 0:
                            client.send(STATUS, sequence, peer, number(A_STATUS, status))
        except (OSError, struct.error):  # it went away, or speaks another language
            pass
        with self._lock:
            client.socket.close()
            self._clients.remove(client)
            for radio in self._radios.values():
                radio.subscribers = [pair for pair in radio.subscribers if pair[0] is not client]

    def _answer(self, client: _Client, kind: int, sequence: int, peer: int, asked: dict[int, bytes]) -> int:
        """Answer with data, and return the status that follows; -1 for none."""
        word = {key: int.from_bytes(value, "big") for key, value in asked.items()}
        if kind == ADD_OBJECT:
            self._next += 1
            client.objects.append(self._next)
            client.send(DATA, sequence, peer, number(A_OBJECT, self._next))
        elif kind == LOOKUP:
            return self._look_up(client, sequence, peer, asked.get(A_PATH, b"*\0")[:-1].decode())
        elif kind == SUBSCRIBE:
            if word[A_OBJECT] not in client.objects or word[A_TARGET] not in self._radios or not self.allowed:
                return NOT_FOUND
            self._radios[word[A_TARGET]].subscribers.append((client, word[A_OBJECT]))
        elif kind == INVOKE:
            return self._invoke(client, sequence, word[A_OBJECT], asked[A_METHOD][:-1].decode())
        elif kind == STATUS:
            self.answers += 1
            return -1
        else:
            return INVALID_COMMAND
        return 0

    def _look_up(self, client: _Client, sequence: int, peer: int, path: str) -> int:
        found = [one for one in self._radios.values() if path in (f"hostapd.{one.name}", "hostapd.*", "*")]
        for radio in found:
            octets = (
                blob(A_PATH, f"hostapd.{radio.name}".encode() + b"\0")
                + number(A_OBJECT, radio.object)
                + number(A_TYPE, 1)
            )
            client.send(DATA, sequence, peer, octets + blob(A_SIGNATURE, table({"get_clients": {}})))
        return 0 if found else NOT_FOUND

    def _invoke(self, client: _Client, sequence: int, target: int, method: str) -> int:
        if target not in self._radios:
            return NOT_FOUND
        if not self.allowed:
            return PERMISSION_DENIED
        self.said[method] = self.said.get(method, 0) + 1
        if method != "get_clients":
            return METHOD_NOT_FOUND
        answer = {"freq": 5180, "clients": self._radios[target].clients}
        client.send(DATA, sequence, target, number(A_OBJECT, target) + blob(A_DATA, table(answer)))
        client.send(STATUS, sequence, target, number(A_STATUS, 0) + number(A_OBJECT, target))
        return -1

    def close(self) -> None:
        """Close every connection and the listener; once is enough."""
        if self._closed:
            return
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for client in self._clients:
                client.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
