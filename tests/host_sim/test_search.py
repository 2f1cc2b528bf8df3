# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim search`: what it draws, how it shrinks, and that what it once found stays closed.

Fresh seeds for hours are tools/soak's.
"""

import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from host_sim.faults import first_boots
from host_sim.trials import mutants, patches, search
from host_sim.trials.patches import Patch
from host_sim.trials.search import Case, Found
from host_sim.trials.shrinking import shrink
from host_sim.venue import keys
from host_sim.venue import scenario as scenarios
from tests.host_sim.test_simulation import oubli_sim
from tests.support.interpreters import PROJECT

# Numbers of runs that once found something, a few seconds each. What found a fault of the simulator alone, and takes
# long, isn't among them.
DRAWN = (
    1720231018, 1420185441, 2474231673, 4237973779, 1647501777, 2257496366, 2257496402, 1167302066, 3102118174,
)  # fmt: skip
SCENARIOS = sorted((PROJECT / "tests/scenarios").glob("*.toml"))
ON_BOTH = ("orders", "full-consents")  # whose second seed is the other interpreter's
SEEDS = {  # of those that show it with others than 2, or with both
    "wrong-while-nobody-listens": (1,),
    "blocks-of-a-flood": (1, 3),
    "asleep-past-a-stay": (2939966425,),
    "asleep-while-they-come": (3039996600,),
    "full-as-the-day-ends": (800323045,),
    "read-late": (1766202577,),
    "reinstalled-behind": (3649119635,),
    "reinstalled-often": (7,),
    "reinstalled-after-a-step": (2920274920,),
    **dict.fromkeys(ON_BOTH, (1, 2)),
}
SEEDED = [(path, seed) for path in SCENARIOS for seed in SEEDS.get(path.stem, (2,))]
BROKEN = {one.name: one.patch for one in mutants.MUTANTS}
BROKEN |= {
    "lines-go-with-the-package": Patch("base/paths.py", "clear_run", "place not in A", "True"),
    "change-of-when-it-is-read": Patch("capture/address_table.py", "AddressTable._hold", "marks |= late * A", "None"),
    "timers-go-on-asleep": Patch("capture/sleeps.py", "Sleeps.woke", "self._slept() - self.counted > _NAP", "False"),
    "erases-nothing": Patch("vault/ring.py", "Ring.erase", "self._forget(A)", "None"),
    "terminal-stays": Patch("purposes/erasure/rounds.py", "without", "gone += A", "gone += 0"),
    "withdrawal-undone": Patch(
        "purposes/consent/kept_consents.py", "KeptConsents._take", "refused & purposes", "False"
    ),
    "day-made-longer": Patch("summary/day.py", "AgentDay.tick", "terminals.over(monotonic - LATE)", "False"),
    "one-key-a-turn": Patch("vault/ring.py", "Ring.tick", "gone += 1", "return gone + 1"),
    "spent-without-a-ledger": Patch("summary/ledger.py", "Ledger.start", "self.values = former", "return True"),
    "torn-line-gone-on-with": Patch("audit/log.py", "Audit._append", "files.truncate(A, B)", "None"),
    "message-lost-silently": Patch("summary/releases.py", "Releases.publish", "self.lost += 1", "self.lost += 0"),
    "rows-lost-silently": Patch(
        "purposes/custodian/segment_writer.py",
        "SegmentWriter.write",
        "self._abandon(page, former)",
        "self._empty(page)",
    ),
    "refused-and-active": Patch("purposes/consent/consents.py", "Consents.grant", "raise", "pass"),
    "withdrawal-waits-for-room": Patch(
        "purposes/consent/kept_consents.py", "KeptConsents._flush", "self._unfile(place, row)", "None"
    ),
}


def test_a_number_stands_for_one_run_and_many_for_all_that_may_happen(tmp_path: Path) -> None:
    """Each is a scenario that `oubli-sim run` accepts.

    Each kind of event is in many, and left out of many (swarm testing).
    """
    drawn = [search.draw(number) for number in range(150)]
    assert drawn[7] == search.draw(7) != search.draw(8)
    for number, case in enumerate(drawn):
        path = tmp_path / f"{number}.toml"
        path.write_text(case.text())
        scenarios.load(str(path))
    for what in keys.EVENTS:
        having = sum(any(event["what"] == what for event in case.data.get("event", ())) for case in drawn)
        assert 30 < having < 120, what
    assert {case.interpreter for case in drawn} == {"cpython", "micropython"}
    for purpose in ("attribution", "billing", "consent"):
        assert 20 < sum(purpose in case.data.get("purposes", {}) for case in drawn) < 130


def test_shrinking_keeps_what_is_to_blame_and_nothing_else() -> None:
    """Of a scenario with many events and settings, the two that make a fault, with round numbers.

    Within its limit of runs.
    """
    both = {"crash", "clock step"}
    case = next(
        case for case in map(search.draw, range(1000)) if both <= {one["what"] for one in case.data.get("event", ())}
    )
    runs = []

    def same(data: search.Data) -> Found | None:
        runs.append(data)
        kinds = [event["what"] for event in data.get("event", ())]
        return Found("a check", "wrong", 1.0) if both <= set(kinds) else None

    data, _, count = shrink(case.data, Found("a check", "wrong", 1.0), same, 300)
    assert sorted(event["what"] for event in data["event"]) == ["clock step", "crash"]
    assert set(data) <= {"description", "time", "people", "gateway", "purposes", "event"}
    assert data["people"] == {"visitors": 0}
    assert count == len(runs) < 150
    assert shrink(case.data, Found("a check", "wrong", 1.0), same, 5)[2] == 5


def parts(numbers: Iterable[int]) -> set[str]:
    """Return what is in some runs: kinds of event, settings by their table, interpreters."""
    found = set()
    for case in map(search.draw, numbers):
        found |= {case.interpreter, *(event["what"] for event in case.data.get("event", ()))}
        found |= {f"{table}.{name}" for table, held in case.data.items() if isinstance(held, dict) for name in held}
    return found


def test_runs_with_fixed_numbers_have_whatever_is_drawn() -> None:
    """Each kind of event, each setting and each interpreter: no other number has anything that none of these has."""
    assert parts(DRAWN) == parts(range(400))


@pytest.mark.needs("mosquitto", "micropython")
@pytest.mark.parametrize("number", DRAWN)
def test_runs_with_fixed_numbers_find_nothing(number: int) -> None:
    """Both interpreters, every purpose, whatever may happen; each of them once found something."""
    case = search.draw(number)
    found, _ = search.attempt(case)
    assert found is None, f"{found}\n{case.text()}"


@pytest.mark.needs("mosquitto", "micropython")
@pytest.mark.parametrize(("path", "seed"), SEEDED, ids=[f"{path.stem}-{seed}" for path, seed in SEEDED])
def test_scenario_that_once_found_something_finds_nothing(path: Path, seed: int) -> None:
    """What was found by a search, or by somebody who attacked, at its shortest."""
    interpreter = "micropython" if path.stem in ON_BOTH and seed == 2 else "cpython"
    found, connections = search.attempt(Case(tomllib.loads(path.read_text()), seed, interpreter))
    assert found is None
    assert connections > 100


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("path", "mutant", "wrong"),
    [
        ("many-addresses", "no-bound-for-a-mac", "(unlike in mac)"),
        ("wrong-after-a-crash", "known-from-before", "(unlike in mac)"),
        ("late-by-a-step", "younger-start", "past their deadline"),
        ("read-late", "change-of-when-it-is-read", "(unlike in mac)"),
        ("reinstalled-after-a-step", "lines-go-with-the-package", "past their deadline"),
        ("orders", "erases-nothing", "(nothing like it happened)"),
        ("orders", "terminal-stays", "start, end)"),
        ("orders", "one-key-a-turn", "past their deadline"),
        ("orders", "rows-at-home", "rows of what was looked at"),
        ("orders", "connections-remembered", "connections of 12 that have expired"),
        ("factory-reset", "free-token", "it is (0, 0, -3, 0)"),
        ("restored-ledger", "old-ledger-believed", "it is (0, 0, -3, 0)"),
        ("backups", "old-ledger-believed", "it is (0, 0, -3, 0)"),
        ("backups", "withdrawal-undone", "were given and not withdrawn"),
        ("reinstallation", "free-token", "it is (0, 0, -3, 0)"),
        ("asleep-with-connections", "timers-go-on-asleep", "(unlike in end)"),
        ("asleep-behind", "day-made-longer", "it is (20781, 2000, 0, 2)"),
        ("full-flash", "spent-without-a-ledger", "it is (20782, 1000, 0, 0)"),
        ("full-flash", "torn-line-gone-on-with", "octets that don't hold"),
        ("full-flash", "message-lost-silently", "1 messages, the agent counts 0"),
        ("full-flash", "rows-lost-silently", "nobody is named for a connection"),
        ("full-flash", "refused-and-active", "were given and not withdrawn"),
        ("full-consents", "withdrawal-waits-for-room", "were given and not withdrawn"),
    ],
)
def test_scenario_finds_the_fault_that_it_is_kept_for(path: str, mutant: str, wrong: str, tmp_path: Path) -> None:
    """With the fault put back it is found; a scenario that can't fail proves nothing."""
    patches.patched(BROKEN[mutant], tmp_path)
    data = tomllib.loads((PROJECT / f"tests/scenarios/{path}.toml").read_text())
    found, _ = search.attempt(Case(data, SEEDS.get(path, (2,))[-1], "cpython"), tmp_path)
    assert found is not None
    assert found.wrong.endswith(wrong)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("left_out", [" && sync && mv", " && sync\n"], ids=["file", "name"])
def test_a_first_boot_that_does_not_sync_is_found(left_out: str, tmp_path: Path) -> None:
    """The new file before it takes the name, and the name before the script ends (EXP-6)."""
    patches.copied(tmp_path)
    script = tmp_path / first_boots.SCRIPT
    script.parent.mkdir(parents=True)
    text = (PROJECT / first_boots.SCRIPT).read_text()
    assert text.count(left_out) == 1
    script.write_text(text.replace(left_out, left_out.replace(" && sync", "")))
    data = tomllib.loads((PROJECT / "tests/scenarios/first-boot-cut.toml").read_text())
    found, _ = search.attempt(Case(data, 2, "cpython"), tmp_path)
    assert found is not None
    assert "a configuration of" in found.wrong


@pytest.mark.needs("mosquitto")
def test_a_custodian_who_believes_any_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Years ahead, it would destroy what nobody could bring back (EXP-3)."""
    monkeypatch.setattr("tools.custodian.store.STEP", timedelta(days=10_000))
    data = tomllib.loads((PROJECT / "tests/scenarios/custodians-clock.toml").read_text())
    found, _ = search.attempt(Case(data, 2, "cpython"))
    assert found is not None
    assert found.wrong == "a clock that shows 2028-11-24 23:00 is believed"


@pytest.mark.needs("mosquitto")
def test_the_command_says_its_seed_and_refuses_what_it_can_not_use(tmp_path: Path) -> None:
    """The seed of a search that was given none is printed: it can be had again."""
    done = oubli_sim(tmp_path, "search", "--hours", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("seed ")
    (tmp_path / "file").write_text("")
    done = oubli_sim(tmp_path, "search", "--keep", "file", "--hours", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "accepted: a folder" in done.stderr
