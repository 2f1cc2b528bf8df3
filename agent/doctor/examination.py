# SPDX-License-Identifier: Apache-2.0
"""One examination: every check once, what can be set right without harm, and the report of what is left."""

from agent import law
from agent.base import canonical
from agent.doctor import device, ruleset, service, tracking, uplink, verdict
from agent.doctor.catalogue import NOTE, Finding
from agent.runtime.libc import reason


def deferred(gateway: "Gateway") -> "Iterator[Finding]":
    """Look at what `attribution` and `billing` need, where the package that brings them is there."""
    try:
        from agent.purposes import checks
    except ImportError:
        if gateway.config.gateway.duty in (law.NOBODY, "undeclared"):
            yield Finding("duty", "gateway.duty names nobody who answers authorities' requests")
        return
    for finding in checks.found(gateway):
        yield finding


CHECKS = (
    service.configuration,
    service.recorder,
    service.watch,
    service.page,
    service.folders,
    tracking.switches,
    tracking.helpers,
    tracking.table,
    tracking.receive_buffer,
    tracking.listeners,
    ruleset.rules,
    ruleset.modules,
    uplink.second_nat,
    deferred,
    uplink.broker,
    uplink.certificates,
    device.clock,
    device.tmpfs,
    device.swap,
    device.libsodium,
    device.flash,
)


def examine(gateway: "Gateway") -> "list[Finding]":
    """Return what is found now."""
    return [finding for check in CHECKS for finding in check(gateway)]


def repair(gateway: "Gateway", findings: "list[Finding]") -> "list[dict[str, Any]]":
    """Write the settings that can do no harm, until the next boot; returns what was done or couldn't be."""
    repairs = []
    for finding in findings:
        if finding.repair is None:
            continue
        name, value = finding.repair
        setting = name.replace("/", ".") + "=" + str(value)
        try:
            with open(gateway.proc + "/sys/" + name, "w") as file:
                file.write(str(value) + "\n")
        except OSError as failure:
            repairs.append(
                {"id": finding.name, "done": False, "what": setting + " was refused" + reason(failure.errno)}
            )
        else:
            repairs.append({"id": finding.name, "done": True, "what": "set " + setting + " until the next boot"})
    return repairs


def run(gateway: "Gateway", *, fix: bool, as_json: bool) -> int:
    """Examine, repair if asked, print what is left, leave it for health; returns 0 for notes at most, else 1."""
    findings = examine(gateway)
    repairs = repair(gateway, findings) if fix else []
    if repairs:
        findings = examine(gateway)
    verdict.leave(gateway.paths.verdict, findings)
    unwell = any(finding.severity != NOTE for finding in findings)
    if as_json:
        shown = [
            {
                "id": finding.name,
                "severity": finding.severity,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for finding in findings
        ]
        print(canonical.dumps({"fine": not unwell, "findings": shown, "repairs": repairs}))
    else:
        parts = [
            ("fixed " if entry["done"] else "not fixed ") + entry["id"] + ": " + entry["what"] for entry in repairs
        ]
        parts += [
            "%s %s: %s\n  why: %s\n  fix: %s" % (one.severity, one.name, one.what, one.why, one.fix) for one in findings
        ]
        print("\n\n".join(parts + ([] if unwell else ["fine"])))
    return 1 if unwell else 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.doctor.gateway import Gateway
