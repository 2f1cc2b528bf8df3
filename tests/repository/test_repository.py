# SPDX-License-Identifier: Apache-2.0
"""The repository itself: lint, format, types on both interpreters, shell scripts, and rules no linter knows."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import PROJECT
from tests.support.sources import IN_ONE_PROCESS, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = IN_ONE_PROCESS

TOP_LEVEL = {"agent", "boards", "host_sim", "tests", "tools"}
OUTSIDE_FOLDERS = {
    "mypy-micropython.ini",
    ".ci",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements.in",
    "requirements.lock",
}
NO_HEADER = {"LICENSE", "README.md", "requirements.lock"}
DATA = {".ipk", ".bin", ".json", ".png", ".svg", ".md", ".gif", ".txt"}
# A value under one of these names is terminal data (L34-I-1), and its text is too.
TERMINAL_DATA = {
    "address", "addresses", "destination", "hardware", "host", "hostname", "key", "lladdr", "mac", "macs", "neighbour",
    "password", "payload", "peer", "port", "service", "source", "source_port", "terminal", "translated_port",
}  # fmt: skip
LOGGING = {"print", "log", "warn", "write"}
ON_MICROPYTHON = ("--config-file", "mypy-micropython.ini")


def project_files() -> list[Path]:
    """Return the files that git tracks or would add.

    In a copy without git, all that .gitignore's makers did not make.
    """
    if (PROJECT / ".git").exists():
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
        return sorted(PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file())
    made = {".git", ".venv", ".cache", "__pycache__"}
    return sorted(path for path in PROJECT.rglob("*") if path.is_file() and not made.intersection(path.parts))


def tool(*words: str) -> None:
    """Run a tool of the virtual environment in the project's folder; what it prints is the failure."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-4000:]


def test_lint_is_clean():
    tool("ruff", "check", "--no-fix", ".")


def test_format_is_the_formatters():
    tool("ruff", "format", "--check", ".")


def test_types_hold_on_cpython():
    tool("mypy", "--no-error-summary")


def test_types_hold_on_micropython():
    tool("mypy", *ON_MICROPYTHON, "--no-error-summary")


@pytest.mark.parametrize("line", ["import functools", "import os.path", "import time; time.monotonic()"])
def test_type_check_for_micropython_knows_what_micropython_lacks(tmp_path, line):
    """The check above proves something only while the stubs really are MicroPython's."""
    room = tmp_path / "room.py"
    room.write_text(f"import os, struct\nprint(os.getcwd(), struct.calcsize('i'))\n{line}\n")
    words = [sys.executable, "-m", "mypy", *ON_MICROPYTHON, room]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert "room.py:3: error:" in done.stdout
    assert "Found 1 error" in done.stdout


@pytest.mark.needs("shellcheck")
def test_shell_scripts_are_clean():
    scripts = [path for path in project_files() if path.suffix == ".sh" or is_shell(path)]
    assert {"demo", "setup", "test"} <= {path.name for path in scripts}
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.needs("shfmt")
def test_what_lands_on_a_gateway_is_formatted_as_openwrt_does():
    done = subprocess.run(
        ["shfmt", "-d", "boards", "tests/openwrt/root"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def is_shell(path: Path) -> bool:
    """Tell a shell script by its first lines."""
    with path.open("rb") as file:
        start = file.read(200)
    return re.match(rb"#!.*\bsh\b|#!.*\bbash\b|# SPDX.*\n# shellcheck shell=", start) is not None


def test_top_level_holds_only_the_folders_of_the_design():
    files = [path.relative_to(PROJECT) for path in project_files()]
    folders = {path.parts[0] for path in files if len(path.parts) > 1} - {".ci"}
    assert folders <= TOP_LEVEL
    others = {path.name for path in files if len(path.parts) == 1} - OUTSIDE_FOLDERS
    # CHANGELOG.md, CONTRIBUTING.md, SECURITY.md: documents
    assert all(re.fullmatch(r"[A-Z_]+(\.md)?", name) for name in others), others


def test_every_source_file_names_its_licence():
    for path in project_files():
        if path.name in NO_HEADER or path.suffix in DATA:
            continue
        start = path.read_text().split("\n", 2)[:2]
        marks = {
            f"{before}SPDX-License-Identifier: Apache-2.0{after}"
            for before, after in (("# ", ""), ("// ", ""), ("<!-- ", " -->"))
        }
        assert marks & set(start), path.relative_to(PROJECT)


def test_licence_is_apache_2():
    text = (PROJECT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_lock_is_pinned_by_hash_and_holds_no_index_address():
    text = (PROJECT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"\n(?=[a-zA-Z])", text[text.index("\n", text.index("requirements.in")) + 1 :])
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_lock_covers_every_library_that_is_asked_for():
    text = (PROJECT / "requirements.lock").read_text()
    wanted = [
        line for line in (PROJECT / "requirements.in").read_text().splitlines() if line and not line.startswith("#")
    ]
    for line in wanted:
        name = re.match(r"[a-z0-9-]+", line)
        assert name is not None
        assert re.search(rf"^{name[0]}==", text, re.MULTILINE), line
        assert "#" in line, f"{line}: its reason is missing"
    with (PROJECT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for requirement in project["dependencies"]:
        name = re.match(r"[a-z0-9-]+", requirement)
        assert name is not None
        assert any(line.startswith(name[0]) for line in wanted), requirement


def test_readme_names_the_three_commands():
    text = (PROJECT / "README.md").read_text().partition("## Three commands\n\n```\n")[2].partition("\n```\n")[0]
    assert [line.split()[0] for line in text.splitlines()] == ["tools/demo", "tools/test", "tools/soak"]


# Where a process measures, or tells others, what the machine's own clock says; none of them judges by the date.
MEASURED = {
    "host_sim/openwrt/internet.py": "certificates for a gateway in QEMU, whose clock is this machine's",
    "tools/clock.py": "the one place",
    "host_sim/load/fleet.py": "when a message came, beside what fleet_worker.py in another process says",
    "host_sim/load/fleet_worker.py": "when a message went",
    "host_sim/load/light.py": "the newest day that is over, as a collector on this machine sees it",
    "host_sim/load/light_tally.py": "when a message was due, beside a store's commit times",
    "host_sim/lab/blocks.py": "a window around what the real kernel stamps",
    "host_sim/lab/traffic.py": "when a connection was made, beside what the real kernel stamps",
    "host_sim/driver/clock_offset.py": "how far a simulated clock is from the real one that the daemons read",
}
NOW = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "timezone.now",
    "time.localtime",
    "time.ctime",
}


def clock_readings(tree: ast.Module) -> list[int]:
    """Return the lines of a file that read the real date, or format it."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ".".join(ast.unparse(node.func).split(".")[-2:])
            formats = {"time.gmtime": 1, "time.strftime": 2}.get(called)
            if called in NOW or (formats is not None and len(node.args) < formats):
                lines.append(node.lineno)
    return lines


def test_hosts_commands_read_the_clock_in_one_place():
    """A command that judges by date takes it from tools/clock.py, which a test can set: the suite passes on any day."""
    for folder in ("host_sim", "tools"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            name = str(path.relative_to(PROJECT))
            assert name in MEASURED or clock_readings(tree_of(path)) == [], name


@pytest.mark.parametrize(
    "line",
    [
        "time.time()",
        "int(time.time())",
        "dt.datetime.now(dt.UTC)",
        "datetime.now(UTC).date()",
        "time.strftime('%Y')",
        "date.today()",
    ],
)
def test_a_reading_of_the_clock_is_found(line):
    assert clock_readings(ast.parse(line)) == [1]
    assert clock_readings(ast.parse("time.strftime('%Y', time.gmtime(0)); clock.today(); time.monotonic()")) == []


def agent_rooms() -> list[tuple[str, ast.Module]]:
    """Return the name and the syntax tree of each file of the agent."""
    return [(str(path.relative_to(PROJECT)), tree_of(path)) for path in sorted((PROJECT / "agent").rglob("*.py"))]


def test_agent_imports_nothing_that_micropython_lacks_at_run_time():
    """`from __future__` and typing names outside the guard stop MicroPython at the first import."""
    for name, tree in agent_rooms():
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                assert node.module not in {"__future__", "typing", "collections.abc"}, name


# What one reader can hold in mind at once.
MOST_LINES = 400  # of a module
MOST_ATTRIBUTES = 15  # of a class
# Classes that have more, with how many and why.
LARGER = {
    "host_sim/venue/kernel.py: Flow": (30, "the kernel's own fields of a connection"),
}
# Modules that are longer, the same way.
LONGER: dict[str, tuple[int, str]] = {}


def attributes(one: ast.ClassDef) -> set[str]:
    """Return what is stored on a class's own `self`, or annotated in its body."""
    annotated = [room.target for room in one.body if isinstance(room, ast.AnnAssign)]
    kept = {target.id for target in annotated if isinstance(target, ast.Name)}
    for node in ast.walk(one):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                kept.add(name)
    return kept


def sources() -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each of the project's own modules but the tests."""
    for path in project_files():
        name = path.relative_to(PROJECT).as_posix()
        if name.endswith(".py") and name.startswith(("agent/", "host_sim/", "tools/")):
            yield name, path


def test_no_class_has_more_attributes_than_a_reader_can_hold_in_mind():
    found = {
        f"{name}: {one.name}": len(attributes(one))
        for name, path in sources()
        for one in ast.walk(tree_of(path))
        if isinstance(one, ast.ClassDef)
    }
    assert {one: count for one, count in found.items() if count > MOST_ATTRIBUTES} == {
        one: count for one, (count, _) in LARGER.items()
    }


def test_every_attribute_of_a_class_is_counted():
    """The test above proves something: each way to make one is seen, once."""
    text = """
class One:
    kind: int
    shared = 0

    def __init__(self):
        self.first, (self.second, _) = 1, (2, 3)
        self.first += other.third

    def later(self):
        self.fourth: int = self.fifth
        with room() as self.sixth:
            self.first = 1
"""
    (one,) = ast.parse(text).body
    assert isinstance(one, ast.ClassDef)
    assert attributes(one) == {"kind", "first", "second", "fourth", "sixth"}


def test_no_module_is_longer_than_a_reader_goes_through():
    lines = {name: len(path.read_text().splitlines()) for name, path in sources()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {
        name: count for name, (count, _) in LONGER.items()
    }


# What imports what as soon as it is imported itself: each folder only those before it.
LAYERS = {
    "agent": (
        "runtime law base capture outbox summary config vault control audit cli doctor forwarder purposes "
        "recorder __main__"
    ),
    "host_sim": "venue faults checks driver trials privacy lab openwrt load report commands __main__",
}
# What a function imports of a folder behind its own: what not every gateway has, and what only one verb needs.
LATER = {
    "agent": {
        "config": {"purposes"},
        "vault": {"purposes"},
        "cli": {"doctor", "forwarder", "purposes", "recorder"},
        "doctor": {"purposes"},
    },
    "host_sim": {},
}


def imports(tree: ast.AST, at_once: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield each module that a file takes something from, and whether at once; what only type checkers read isn't."""
    for inner in ast.iter_child_nodes(tree):
        if isinstance(inner, ast.If) and last_name(inner.test) == "type_checking":
            continue
        if isinstance(inner, ast.ImportFrom):
            yield from ((f"{inner.module}.{name.name}", at_once) for name in inner.names)
        if isinstance(inner, ast.Import):
            yield from ((f"{name.name}.", at_once) for name in inner.names)
        yield from imports(inner, at_once and not isinstance(inner, ast.FunctionDef))


def folders_imported(top: str) -> Iterator[tuple[str, str, bool]]:
    """Yield which folder of a package imports which other one, and whether at once."""
    folders = LAYERS[top].split()
    for path in sorted((PROJECT / top).rglob("*.py")):
        folder = path.relative_to(PROJECT / top).with_suffix("").parts[0]
        for module, at_once in imports(tree_of(path)):
            package, other = module.split(".")[:2]
            if package == top and other != folder and other in folders:
                yield folder, other, at_once


def host_folders() -> dict[str, set[str]]:
    """Return what each folder of host_sim and tools, or file beside them, imports of the others, now or later."""
    found: dict[str, set[str]] = {}
    for top in ("host_sim", "tools"):
        for path in sorted((PROJECT / top).rglob("*.py")):
            folder = ".".join(path.relative_to(PROJECT).with_suffix("").parts[:2])
            for module, _ in imports(tree_of(path)):
                other = ".".join(module.split(".")[:2])
                if other.startswith(("host_sim.", "tools.")) and other != folder:
                    found.setdefault(folder, set()).add(other)
    return found


def test_folders_of_the_hosts_programs_import_one_another_without_a_cycle():
    assert list(graphlib.TopologicalSorter(host_folders()).static_order())


def test_a_cycle_of_folders_is_found():
    """The test above proves something: whatever lies above custodian comes back to it."""
    found = host_folders()
    found["tools.custodian"].add("host_sim.lab")
    with pytest.raises(graphlib.CycleError, match="cycle"):
        graphlib.TopologicalSorter(found).prepare()


@pytest.mark.parametrize("top", LAYERS)
def test_no_folder_imports_upward(top):
    """So there is no cycle: a folder is read without those behind it, and what does look behind is listed."""
    order = LAYERS[top].split()
    there = {path.stem for path in (PROJECT / top).iterdir() if path.is_dir() or path.suffix == ".py"}
    assert there - {"__init__", "__pycache__", "scenarios"} == set(order)
    upward = {
        (folder, other)
        for folder, other, at_once in folders_imported(top)
        if at_once and order.index(other) > order.index(folder)
    }
    assert upward == set()
    later = {
        (folder, other) for folder, other, at_once in folders_imported(top) if order.index(other) > order.index(folder)
    }
    assert later == {(folder, other) for folder, others in LATER[top].items() for other in others}


def test_only_runtime_asks_which_interpreter_this_is():
    for name, tree in agent_rooms():
        if not name.startswith("agent/runtime/"):
            assert interpreter_questions(tree) == [], name


def interpreter_questions(tree: ast.Module) -> list[int]:
    """Return a module's lines that ask for sys.implementation or sys.platform, or compare an interpreter's name."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"implementation", "platform", "byteorder"}:
            lines.append(node.lineno)
        if isinstance(node, ast.Compare):
            values = [value.value for value in ast.walk(node) if isinstance(value, ast.Constant)]
            lines += [node.lineno for value in values if value in {"micropython", "cpython"}]
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            lines += [node.lineno for module in modules if module in {"micropython", "ffi", "uctypes", "ctypes"}]
    return lines


@pytest.mark.parametrize(
    "line",
    [
        "import sys\nsys.implementation.name",
        "if INTERPRETER == 'micropython': pass",
        "import ctypes",
        "from uctypes import addressof",
    ],
)
def test_a_question_for_the_interpreter_is_found(line):
    assert interpreter_questions(ast.parse(line))


def test_no_exception_and_no_log_line_of_the_agent_formats_terminal_data():
    """L34-II-5: what a raise or a log call is given never takes its text from a value named as terminal data."""
    for name, tree in agent_rooms():
        assert spoken_terminal_data(tree) == [], name


def spoken_terminal_data(tree: ast.Module) -> list[str]:
    """Return `line: name` for each value named as terminal data inside a `raise` or a call that logs or prints."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            parts: list[ast.AST] = [part for part in (node.exc,) if part is not None]
        elif isinstance(node, ast.Call) and last_name(node.func) in LOGGING:
            parts = [*node.args, *node.keywords]
        else:
            continue
        names = [last_name(inner) for part in parts for inner in ast.walk(part)]
        found += [f"{node.lineno}: {name}" for name in names if name in TERMINAL_DATA]
    return found


def last_name(node: ast.AST) -> str:
    """Return the last word of `a`, `a.b` or `a["b"]`; nothing for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name.lstrip("_").lower()
    return ""


@pytest.mark.parametrize(
    "line",
    [
        "raise ValueError(f'unknown {mac}')",
        "raise ValueError('unknown %s' % self.mac)",
        "raise ValueError('unknown {}'.format(connection.source))",
        "raise ValueError(str(record['address']))",
        "log('seen ' + hex(connection._address))",
        "self.log(f'{terminal.mac}')",
        "print(neighbour, file=sys.stderr)",
    ],
)
def test_spoken_terminal_data_is_found(line):
    assert spoken_terminal_data(ast.parse(line))


def test_words_about_terminal_data_may_be_spoken():
    assert (
        spoken_terminal_data(ast.parse("raise ValueError('a mac has 6 octets')\nlog('%d malformed' % self.malformed)"))
        == []
    )


def test_every_interpreter_imports_the_agent_and_opens_libsodium(any_interpreter):
    """MicroPython's processor is the one it says: the MIPS build is what shows a wrong byte order."""
    text = "import agent, sys, {0}; {0}.{1}('libsodium.so.23'); print(sys.implementation.name, sys.byteorder)"
    done = any_interpreter.run(
        "-c", text.format(*(("ctypes", "CDLL") if any_interpreter.name == "cpython" else ("ffi", "open")))
    )
    expected = {
        "cpython": f"cpython {sys.byteorder}",
        "micropython": f"micropython {sys.byteorder}",
        "mips": "micropython big",
    }
    assert done.stdout.decode().strip() == expected[any_interpreter.name]


@pytest.mark.parametrize(
    ("ci", "status", "line"),
    [("true", 1, "missing on this machine: shellcheck"), ("", 0, "left out: 1 tests, for want of shellcheck")],
)
def test_what_is_missing_fails_in_ci_and_is_named_elsewhere(tmp_path, ci, status, line):
    words = [
        "-m",
        "pytest",
        "-k",
        "shell_scripts_are_clean or data_may_be_spoken",
        "tests/repository/test_repository.py",
    ]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env=os.environ | {"PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert line in done.stdout
    assert "1 passed" in done.stdout.splitlines()[-1]
