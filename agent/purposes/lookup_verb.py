# SPDX-License-Identifier: Apache-2.0
"""`oubli lookup`: what the operator asks and sees; the recorder answers (agent.purposes.lookup, L34-II-6)."""

from agent.base import canonical, dates
from agent.cli.command import UsageError
from agent.cli.who_verb import written
from agent.purposes.consent.verbs import given, whose
from agent.purposes.requests.requests import second_of


def _written(row: "dict[str, Any]") -> str:
    return str(row["terminal"]) + written(row)


def show(line: "Line") -> int:
    """Show what `security` has of a port or a terminal, record by record as they come; with --json as one object."""
    try:
        since = second_of(line["--at"])
        fields: "dict[str, Any]" = {"from": since, "until": second_of(line["--until"]) if "--until" in line else since}
    except ValueError as failure:
        raise UsageError("lookup: --at or --until: not understood; accepted: " + failure.args[0])
    fields["reason"] = line["--reason"]
    if "--report" in line:
        fields["report"] = int(line["--report"])
    if "--protocol" in line:
        fields["protocol"] = line["--protocol"]
    if "--terminal" in line:
        fields.update(whose(line))
    else:
        word = given(line, "--port")
        fields["port"] = int(word) if word.isdigit() else -1
    if "--public-address" in line:
        fields["public_address"] = given(line, "--public-address")
    as_json, before = "--json" in line, '{"rows":['
    for answer in line.ask_for("lookup", **fields):
        for row in answer.get("rows", ()):
            print(before + canonical.dumps(row) if as_json else _written(row))
            before = ","
        if "records" in answer:
            told = "records that touch that time: " + str(answer["records"]) + "; what hadn't ended is in none yet"
            if answer["public_address"]:
                told += "\nof IPv4 no record has the public address: these are of any that the gateway had then"
            if "unknown_before" in answer:
                told += "\nnothing is known of before " + dates.moment(answer["unknown_before"]) + " (UTC)"
            if answer["clock"] != "trusted":
                doubt = "these times may be wrong, and name nobody for sure"
                told = f"!! the gateway's clock is {answer['clock']}: {doubt}\n{told}"
            if answer["second_nat"]:
                told = "!! a second NAT lies between: public ports can't be matched here (L34-II-4)\n" + told
            said = canonical.dumps(answer)[1:]
            print((before if before[0] == "{" else "") + "]," + said if as_json else told)
            return 0
    return 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.cli.command import Line
