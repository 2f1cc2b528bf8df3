# SPDX-License-Identifier: Apache-2.0
"""The client's side of the trial: reads one JSON call a line, carries it out on the client, answers with one JSON line.

Runs on both interpreters: `driver.py MODULE[:CLASS]`, where MODULE offers `MqttError`
and the class, `Client` if none is named.
"""

import json
import os
import sys


class Resolver:
    """Stands where a client has its `socket` module; a name has the addresses that the trial gives it."""

    def __init__(self, real, answers):
        self._real = real
        self._resolve = real.getaddrinfo
        self.answers = answers

    def __getattr__(self, name):
        """Everything but name resolution is the real module's."""
        return getattr(self._real, name)

    def getaddrinfo(self, _host, _port, *rest, **named):
        """Answer with the trial's addresses, in its order."""
        found = []
        for host, port in self.answers:
            found += self._resolve(host, port, *rest, **named)
        return found


class Stage:
    """Carries out the calls."""

    def __init__(self, module, name):
        self.make = getattr(module, name)
        self.patched = sys.modules["agent.forwarder.mqtt_small"] if module.__name__.startswith("tests.") else module
        self.error = module.MqttError
        self.client: Any = None
        self.resolver: Any = None

    def new(self, arguments):
        """Make the client; the will's payload comes as text."""
        arguments["will_payload"] = arguments["will_payload"].encode()
        self.client = self.make(
            arguments.pop("host"),
            arguments.pop("port"),
            arguments.pop("client_id"),
            arguments.pop("will_topic"),
            arguments.pop("will_payload"),
            **arguments,
        )

    def resolve(self, answers):
        """Let any name have these addresses, `[[host, port], ...]`, in our client and in what it uses."""
        if self.resolver is not None:
            self.resolver.answers = answers
            return
        patched: Any = self.patched
        resolver = self.resolver = Resolver(patched.socket, answers)
        try:
            patched.socket.getaddrinfo = resolver.getaddrinfo
        except AttributeError:  # MicroPython's module is in ROM, but its only user is the client itself
            patched.socket = resolver

    def set(self, path, value):
        """Set an attribute of the client: the packet id just before it wraps."""
        names = path.split(".")
        place = self.client
        for name in names[:-1]:
            place = getattr(place, name)
        setattr(place, names[-1], value)

    def publish(self, topic, payload, retain=False):
        """Publish; a number instead of a text is so many bytes."""
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        self.client.publish(topic, data, retain)

    def many(self, topic, count):
        """Publish so many messages."""
        for number in range(count):
            self.client.publish(topic, str(number).encode())

    def descriptors(self):
        """How many files and sockets this process holds."""
        return str(len(os.listdir("/proc/self/fd")))

    def do(self, request):
        """One request, `[name, argument, ...]`.

        The answer is `["ok", text]`, `["refused", text]` or `["fault", text]`.
        """
        name, arguments = request[0], request[1:]
        action = getattr(self, name, None) or getattr(self.client, name)
        try:
            said = action(*arguments)
        except self.error as error:
            return ["refused", str(error)]
        except Exception as error:  # noqa: BLE001 - any other exception is the finding
            return ["fault", repr(error)]
        return ["ok", said or ""]


def main():
    """Serve the calls on standard input."""
    module, _, name = sys.argv[1].partition(":")
    __import__(module)
    stage = Stage(sys.modules[module], name or "Client")
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        sys.stdout.write(json.dumps(stage.do(json.loads(line))) + "\n")
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

main()
