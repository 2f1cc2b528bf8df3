# SPDX-License-Identifier: Apache-2.0
"""Where things lie, below a root folder ("" on a device): `srv` is flash, `var/run` is tmpfs.

Each daemon's folder lies in a folder of root's: no daemon can put a link in its place.
"""

from agent.runtime import files

CONFIG = "/etc/config/oubli"


class Flash:
    """What outlasts a power cut, in `folder`; the spool, which the forwarder empties, lies beside it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.ledger = folder + "/ledger"
        self.audit = folder + "/audit"
        self.published = folder + "/published"
        self.sealed = folder + "/vault"
        self.bundles = folder + "/bundles"
        self.device_key = folder + "/device.key"
        self.consents = folder + "/consents"
        self.ports = folder + "/ports"
        self.requests = folder + "/requests"
        self.spool = folder + "-spool"


class Run:
    """What a power cut takes, in `folder`; `live`, where the forwarder writes too, lies beside it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.vault = folder + "/vault"
        self.keys = folder + "/keys"
        self.terminals = folder + "/terminals"
        self.counters = folder + "/counters"
        self.clock = folder + "/clock"
        self.stays = folder + "/lines", folder + "/timeouts"  # where oubli is removed: stamps are read by them
        self.heartbeat = folder + "/heartbeat"
        self.blocks = folder + "/blocks"
        self.billing = folder + "/billing"
        self.control = folder + "/control"
        self.socket = self.control + "/socket"
        self.live = folder + "-live"
        self.health = self.live + "/health"
        self.forwarder = self.live + "/forwarder.json"


class Etc:
    """What the operator configures, and root's copy of it."""

    def __init__(self, root: str) -> None:
        self.config = root + CONFIG
        self.accepted = root + "/etc/oubli/accepted"  # the last configuration that was accepted, root's copy
        self.anchor = root + "/etc/oubli/custodian.pub"
        self.agents = root + "/etc/oubli/agents"
        self.network = root + "/etc/config/network"


class Paths:
    """Every path of the agent; `root` without a trailing slash.

    `flash` and `run` are the recorder's own. Beside them and `etc` stands what root and other programs put there.
    """

    def __init__(self, root: str) -> None:
        while root.endswith("/"):
            root = root[:-1]
        self.root = root
        self.flash = Flash(root + "/srv/oubli")
        self.run = Run(root + "/var/run/oubli")
        self.etc = Etc(root)
        self.texts = root + "/usr/share/oubli"
        self.ubus = root + "/var/run/ubus/ubus.sock"
        self.portal = root + "/var/run/oubli-portal/clients"
        self.note = root + "/srv/oubli-root/store-"  # and a purpose: root's note of its store (agent.vault.stores)
        self.verdict = root + "/var/run/oubli-root/doctor"
        self.networks = root + "/var/run/oubli-root/networks"  # what root tells of them (etc/init.d/oubli)

    def network_file(self) -> str:
        """Return where networks are read: what root has handed over, else the system's own file."""
        return self.networks if files.exists(self.networks) else self.etc.network


def make_folders(paths: Paths) -> None:
    """Make what is missing of the folders, each open to whom it must be (the forwarder works in two)."""
    flash, run = paths.flash, paths.run
    for folder, mode in (
        (flash.folder, 0o700),
        (flash.spool, 0o2770),
        (flash.audit, 0o700),
        (run.folder, 0o711),
        (run.live, 0o2770),
        (run.control, 0o711),
        (run.vault, 0o700),
        (run.vault + "/security", 0o700),
    ):
        files.make_folder(folder, mode)


def clear_run(paths: Paths) -> None:
    """Remove the daemons' files on tmpfs but those by which the next process of this boot reads stamps.

    OSError, at the end, where something can't be.
    """
    refused: "OSError | None" = None
    for place in list(files.entries(paths.run.folder)) + [paths.run.live]:
        if place not in paths.run.stays:
            try:
                files.clear(place)
            except OSError as failure:
                refused = failure
    if refused is not None:
        raise refused
