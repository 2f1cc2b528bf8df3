# SPDX-License-Identifier: Apache-2.0
"""Every configuration that the documents print is one that a gateway starts with, as it is printed (L34-II-2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import law
from agent.base.paths import Paths
from agent.config import config
from host_sim.privacy.paired import Device
from tests.support.interpreters import PROJECT
from tests.support.keyholder import Custodian
from tools.package import board, contents

OWN = "config gateway\n option id 'aaaaaaaaaaaaaaaa'\n option duty 'oubli'\n"
SECTION = re.compile(r"^config (?:purpose |metric )?'?(\w+)'?", re.MULTILINE)


def examples() -> dict[str, str]:
    """Return each block of a document that is a configuration, by file and number."""
    found = {}
    for path in sorted([*PROJECT.glob("*.md"), *PROJECT.glob("[!.]*/**/*.md")]):  # .cache holds thousands of files
        blocks = re.findall(r"^```\n(config .*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        found.update({f"{path.relative_to(PROJECT)} {number}": text for number, text in enumerate(blocks, 1)})
    return found


EXAMPLES = examples()


def sections(text: str) -> dict[str, str]:
    """Return a file's sections by name."""
    begins = [*SECTION.finditer(text)]
    ends = [found.start() for found in begins[1:]] + [len(text)]
    return {found[1]: text[found.start() : end] for found, end in zip(begins, ends, strict=True)}


def on_board(example: str, name: str) -> str:
    """Return a board's own configuration with the example's lines written into their sections."""
    shipped = contents.configuration((PROJECT / "boards/common/etc/config/oubli").read_text(), board.load(name))
    whole = sections(shipped)
    for section, text in sections(example).items():
        head, *lines = text.strip().splitlines()
        given = re.findall(r"(?m)^\s+(?:option|list) (\w+)", text)
        kept = [
            line
            for line in whole[section].splitlines()[1:]
            if (re.findall(r"^\s+\w+ (\w+)", line) or [""])[0] not in given
        ]
        whole[section] = "\n".join([head, *kept, *lines]) + "\n"
    if "option id" not in re.sub(r"(?m)^#.*", "", whole["gateway"]):
        whole["gateway"] = OWN
    return "".join(whole.values())


def test_the_documents_have_examples():
    assert {name.rpartition(" ")[0] for name in EXAMPLES} >= {
        "README.md",
        "boards/README.md",
        "tools/custodian/README.md",
    }


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("name", board.names())
def test_an_example_is_accepted_on_every_board(name: str, example: str, tmp_path: Path) -> None:
    """Written into the configuration that the board's image has; what it sets is set."""
    path = tmp_path / "oubli"
    path.write_text(on_board(EXAMPLES[example], name))
    loaded = config.load(str(path))
    for purpose in law.CONFIGURABLE:
        if re.search(rf"purpose '{purpose}'\n\s+option enabled '1'", EXAMPLES[example]):
            assert purpose in loaded.purposes


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_starts_and_goes_on(example: str, memory: Path) -> None:
    """A recorder begins with it, trusts the clock, and keeps each purpose that is on."""
    device = Device(memory / "device", None)
    (device.root / "config").write_text(on_board(EXAMPLES[example], "raspberry-pi-4"))
    device.recorder.close()
    device.config = config.load(str(device.root / "config"))
    paths, custodian, today = Paths(str(device.root)), Custodian(), device.time.wall() // 10**9 // law.DAY
    for place, data in (
        (paths.etc.anchor, custodian.anchor.encode()),
        (f"{paths.flash.bundles}/1", custodian.bundle(today, 30, 365)),
    ):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(data)
    device.boot(0)
    device.pass_to(1200)
    said = device.recorder.status()
    assert sorted(said["purposes"]) == sorted(device.config.purposes)
    assert said["clock"] == "trusted"
    device.recorder.close()
