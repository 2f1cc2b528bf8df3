# SPDX-License-Identifier: Apache-2.0
"""What the doctor can find, as data: how grave it is, why it matters (with the requirement), how to set it right.

What only `attribution` and `billing` can have wrong stands in agent.purposes.checks, as rows of the same form.

error     what is recorded, kept or published is wrong or unlawful, or the agent can't work
warning   it works, at a cost that the operator should know
note      good to know; alone it doesn't make the gateway unwell
"""

ERROR, WARNING, NOTE = "error", "warning", "note"

_LASTING = "; a line in /etc/sysctl.d makes it last"
_OFFLOAD = (
    "packets of offloaded connections pass connection tracking by: volumes and last packets are too small or too early"
)

_RESTART = "/etc/init.d/oubli restart"

CATALOGUE = {
    "configuration": (
        ERROR,
        (
            "a mistake stops nothing that was lawful, so the last accepted configuration goes on, "
            "not what is written now (L34-II-2)"
        ),
        "correct the line that is named, then " + _RESTART,
    ),
    "recorder": (
        ERROR,
        "nothing is recorded, and nothing that is kept is destroyed before the next boot (L34-II-1, EXP-1)",
        _RESTART + "; logread -e oubli says why it ends",
    ),
    "no-lan": (
        ERROR,
        "of guests behind an interface that isn't there nothing is recorded, and nothing is counted (L34-I-2)",
        "let gateway.lan name the guests' networks as /etc/config/network does, and bring them up",
    ),
    "deaf": (
        ERROR,
        "either nobody came, or connections pass by what the recorder hears (L34-I-2)",
        "where guests came: look for offload, and compare with conntrack -E; then " + _RESTART,
    ),
    "flash-refuses": (
        ERROR,
        "what doesn't fit into memory is lost, and no epsilon can be spent (EXP-6, ANON-5)",
        "free space below /srv, mount it writable, " + _RESTART + " sets owners right",
    ),
    "forwarder": (
        ERROR,
        "no summary and no health leaves the gateway: the fleet hears nothing (L34-VI-2)",
        _RESTART + "; logread -e oubli says why it ends",
    ),
    "unconnected": (
        WARNING,
        "messages wait in the spool, and the oldest are dropped when it is full (ANON-5)",
        "logread -e oubli says why: address, certificate, password or the broker itself",
    ),
    "watch": (
        WARNING,
        "a recorder that hangs isn't ended, and connections fill the kernel's table (L34-I-2)",
        _RESTART,
    ),
    "page": (
        WARNING,
        "a guest can't see what is held on his device, suspend or withdraw without an account (L34-V-4)",
        _RESTART + "; logread -e oubli says why it ends",
    ),
    "folders": (
        ERROR,
        "the daemons can't write, or others can read what they keep (L34-VI-2)",
        _RESTART + " sets owner and mode right",
    ),
    "secret": (
        ERROR,
        (
            "the forwarder uses no key and no password that others can read, "
            "and can't read one that isn't its own (L34-VI-2)"
        ),
        "chown oubli-fwd FILE; chmod 0600 FILE",
    ),
    "conntrack": (
        ERROR,
        "the kernel's connection tracking is the only source of traffic data (L34-I-2)",
        "load nf_conntrack and nf_conntrack_netlink (OpenWrt: kmod-nf-conntrack-netlink)",
    ),
    "events": (
        ERROR,
        (
            "with 2 a connection born before any listener never reports its end, with 0 none does: "
            "neither recorded nor counted (L34-II-1)"
        ),
        "sysctl -w net.netfilter.nf_conntrack_events=1 (oubli doctor --fix)" + _LASTING,
    ),
    "acct": (
        ERROR,
        "without it connections carry no bytes and no packets: records and the volume metric hold zeros (ANON-2)",
        "sysctl -w net.netfilter.nf_conntrack_acct=1 (oubli doctor --fix); connections of before stay without"
        + _LASTING,
    ),
    "timestamp": (
        ERROR,
        "a record's deadline runs from its connection's end; one without times can't be kept and is lost (EXP-1)",
        "sysctl -w net.netfilter.nf_conntrack_timestamp=1 (oubli doctor --fix); connections of before stay without"
        + _LASTING,
    ),
    "automatic-helpers": (
        WARNING,
        (
            "the kernel then reads the payload of every connection on a helper's port, "
            "and opens what the payload asks for (L34-VI-1)"
        ),
        (
            "sysctl -w net.netfilter.nf_conntrack_helper=0 and `ct helper` rules where needed; not by --fix: "
            "FTP or SIP may depend on it"
        ),
    ),
    "helpers": (
        NOTE,
        (
            "a helper reads the payload of control connections (FTP, SIP, ...) inside the kernel; "
            "none of it reaches oubli (L34-VI-1)"
        ),
        "nothing to do where guests need them; else remove the modules and the rules",
    ),
    "table-size": (
        WARNING,
        "a full table would take the memory that the stores on tmpfs and the recorder live in (EXP-2)",
        "lower net.netfilter.nf_conntrack_max; not by --fix: too low a value stops new connections",
    ),
    "receive-buffer": (
        WARNING,
        (
            "a burst of ends doesn't fit the socket that the recorder gets: "
            "in its loss-counting mode they are lost (L34-II-1)"
        ),
        "give the recorder CAP_NET_ADMIN, or raise net.core.rmem_max (oubli doctor --fix)" + _LASTING,
    ),
    "listeners": (
        NOTE,
        (
            "what it keeps is outside oubli's purposes and deadlines (L34-II-1); "
            "one that asks for loss-free events and hangs fills the table"
        ),
        "ask whether it is needed; ulogd2, nlbwmon and conntrack -E are the usual ones",
    ),
    "root": (
        WARNING,
        "it needs CAP_NET_ADMIN and nothing else; who gets hold of a process of root's gets the gateway (L34-VI-2)",
        "install procd-ujail, then " + _RESTART,
    ),
    "unfiltered": (
        NOTE,
        "a daemon that is taken over may ask the kernel for programs and sockets that it never needs (L34-VI-2)",
        "install procd-seccomp, then " + _RESTART + "; OpenWrt's kernel for boards of small flash has no filters",
    ),
    "ruleset": (
        WARNING,
        "flow offload and full-cone NAT can't be looked for (ANON-2)",
        "run oubli doctor as root",
    ),
    "offload": (
        ERROR,
        _OFFLOAD + " (ANON-2, EXP-1)",
        "OpenWrt: flow_offloading '0' and flow_offloading_hw '0' in /etc/config/firewall, then restart the firewall",
    ),
    "counted-offload": (
        WARNING,
        (
            "the flowtable hands its counts back, but states and time-outs of its connections move only when they "
            "leave "
            "it (EXP-1)"
        ),
        "OpenWrt: flow_offloading '0' in /etc/config/firewall where the router is fast enough without",
    ),
    "fullcone": (
        WARNING,
        (
            "connections from outside then reach a terminal, and who holds a public port can't be read off connection "
            "tracking (L34-II-4)"
        ),
        "OpenWrt: fullcone '0' in /etc/config/firewall, then restart the firewall",
    ),
    "wan": (
        WARNING,
        "whether a second NAT lies between can't be told (L34-II-4)",
        "let gateway.wan name the interface or OpenWrt network that leads to the internet, and connect it",
    ),
    "second-nat": (
        WARNING,
        "a second NAT lies between: public ports can't be matched here (L34-II-4)",
        (
            "put the provider's box into bridge mode, or ask for a public address; attribution starts only with "
            "upstream_nat 'acknowledged'"
        ),
    ),
    "clock-wrong": (
        ERROR,
        "kernel times are stamped with this clock, and deadlines run from them (EXP-1, EXP-5)",
        (
            "set the clock by NTP: on OpenWrt see /etc/config/system, timeserver 'ntp'; where it is right and files of "
            "/etc/config are of a later time, touch them and restart oubli"
        ),
    ),
    "clock-untrusted": (
        WARNING,
        "until two NTP confirmations ten minutes apart agree nothing is published (EXP-5, ANON-6)",
        "wait ten minutes; if it stays, check that NTP servers can be reached",
    ),
    "clock-battery": (
        WARNING,
        (
            "gateway.hardware_clock is 1, and at power-up it was wrong or there is none: it isn't believed, "
            "and NTP is waited for (EXP-5)"
        ),
        "hardware_clock '0' where there is no battery, or a new battery",
    ),
    "tmpfs": (
        ERROR,
        "volatile stores and their keys must forget at power loss, which a disk doesn't (EXP-2)",
        "mount a tmpfs at /var/run, or at the folder that it leads to",
    ),
    "swap": (
        ERROR,
        "swap writes keys and records of volatile stores to a disk, where they outlive their deadline (EXP-2)",
        "swapoff -a and remove the entry that enables it; zram is fine",
    ),
    "libsodium": (
        ERROR,
        "nothing can be sealed: the recorder doesn't start (EXP-2)",
        "install libsodium",
    ),
    "broker-missing": (
        ERROR,
        "no summary leaves the gateway: the forwarder doesn't start (L34-VI-2)",
        "set mqtt.host and mqtt.port",
    ),
    "broker": (
        WARNING,
        "summaries wait in the spool, and the oldest are dropped when it is full (ANON-5)",
        "check mqtt.host, mqtt.port, name resolution, the broker, and the firewall's output rules",
    ),
    "plain-text": (
        WARNING,
        "whoever is on the way reads, changes and forges what is sent (L34-VI-2)",
        "mqtt.insecure '0' and mqtt.ca; oubli-fleet enrol makes an authority for those who have none",
    ),
    "certificate": (
        ERROR,
        "the forwarder sends nothing but over verified TLS (L34-VI-2)",
        "put a certificate that is valid now at that path",
    ),
    "certificate-ending": (
        WARNING,
        "after that day the forwarder sends nothing (L34-VI-2)",
        "renew it now",
    ),
    "duty": (
        NOTE,
        "by L34-1 in force somebody owes it, and nobody who is declared here does all of it (L34-II-3)",
        "gateway.duty says who does; oubli law --duties en (oubli-purposes) says what else may",
    ),
    "flash": (
        WARNING,
        (
            "the ledger and the spool need it: without room no epsilon can be spent and summaries are dropped (ANON-5, "
            "EXP-6)"
        ),
        "free space below /srv, or lower mqtt.spool_bytes",
    ),
}


class Finding:
    """One thing found.

    `repair` is (path below /proc/sys, value) where writing that can do no harm, else None; `row`: one of elsewhere.
    """

    def __init__(
        self, name: str, what: str, repair: "tuple[str, int] | None" = None, row: "tuple[str, str, str] | None" = None
    ) -> None:
        self.name = name
        self.what = what
        self.repair = repair
        self.severity, self.why, self.fix = row or CATALOGUE[name]
