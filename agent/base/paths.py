# SPDX-License-Identifier: Apache-2.0
"""Where things lie, below a root folder ("" on a device): `srv` is flash, `var/run` is tmpfs.

Each daemon's folder lies in a folder of root's: no daemon can put a link in its place.
"""

from agent.runtime import files

CONFIG = "/etc/config/oubli"


class Paths:
    """Every path of the agent; `root` without a trailing slash."""

    def __init__(self, root: str) -> None:
        while root.endswith("/"):
            root = root[:-1]
        self.root = root
        self.flash = root + "/srv/oubli"
        self.ledger = self.flash + "/ledger"
        self.spool = self.flash + "-spool"
        self.audit = self.flash + "/audit"
        self.published = self.flash + "/published"
        self.sealed = self.flash + "/vault"
        self.bundles = self.flash + "/bundles"
        self.anchor = root + "/etc/oubli/custodian.pub"
        self.device_key = self.flash + "/device.key"
        self.consents = self.flash + "/consents"
        self.texts = root + "/usr/share/oubli"
        self.ubus = root + "/var/run/ubus/ubus.sock"
        self.agents = root + "/etc/oubli/agents"
        self.portal = root + "/var/run/oubli-portal/clients"
        self.run = run = root + "/var/run/oubli"
        self.vault = run + "/vault"
        self.keys = run + "/keys"
        self.terminals = run + "/terminals"
        self.counters = run + "/counters"
        self.clock = run + "/clock"
        self.heartbeat = run + "/heartbeat"
        self.handed = run + "-root"  # root writes there, the recorder reads
        self.verdict = self.handed + "/doctor"
        self.networks = self.handed + "/networks"  # what it tells of them (etc/init.d/oubli)
        self.live = run + "-live"
        self.health = self.live + "/health"
        self.forwarder = self.live + "/forwarder.json"
        self.control = run + "/control"
        self.socket = self.control + "/socket"
        self.config = root + CONFIG
        self.accepted = root + "/etc/oubli/accepted"  # the last configuration that was accepted, root's copy
        self.note = root + "/srv/oubli-root/store-"  # and a purpose: root's note of its store (agent.vault.stores)
        self.network = root + "/etc/config/network"
        self.dhcp = root + "/etc/config/dhcp"

    def network_files(self) -> "tuple[str, str]":
        """Return where networks and DHCP servers are read: what root has handed over, else these."""
        if files.exists(self.networks):
            return self.networks, self.networks
        return self.network, self.dhcp


def make_folders(paths: Paths) -> None:
    """Make what is missing of the folders, each open to whom it must be (the forwarder works in two)."""
    for folder, mode in (
        (paths.flash, 0o700),
        (paths.spool, 0o2770),
        (paths.audit, 0o700),
        (paths.run, 0o711),
        (paths.live, 0o2770),
        (paths.control, 0o711),
        (paths.vault, 0o700),
        (paths.vault + "/security", 0o700),
    ):
        files.make_folder(folder, mode)
