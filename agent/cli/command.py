# SPDX-License-Identifier: Apache-2.0
"""The command line from two tables, options and verbs: help, reading and one-line errors are made of them.

A verb is one word (`status`) or two (`consent grant`). It takes `--config`, `--root`, and the options its row names,
nothing else. An error is one line that says which word, what was wrong, what is accepted.
"""

import errno
import sys

from agent import law
from agent.base import canonical
from agent.cli.daemons import Start
from agent.config.reader import ConfigError
from agent.runtime.files import exists

_EVERYWHERE = ("--config", "--root")
_COLUMN = 26


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, in the plural but for 1."""
    return str(number) + " " + noun + ("" if number == 1 else "s")


class UsageError(ConfigError):
    """A command line that can't be understood; its text is the one line to show."""


class Option:
    """One row: what its value is called ("": a flag), its help, its check that raises ValueError(what is accepted)."""

    def __init__(self, value: str, text: str, check: "Callable[[str], object] | None" = None) -> None:
        self.value = value
        self.text = text
        self.check = check


class Verb:
    """One row: name, the function that runs it ("module.function" below agent), help, and what may stand behind it.

    `word` names a word that must follow, `choices` which ones are known (none: any). `options` may be given, `needs`
    must be, and of `one_of` exactly one.
    """

    def __init__(
        self,
        name: str,
        run: str,
        text: str,
        options: "tuple[str, ...]" = (),
        *,
        word: str = "",
        choices: "Sequence[str]" = (),
        needs: "tuple[str, ...]" = (),
        one_of: "tuple[str, ...]" = (),
    ) -> None:
        self.name = name
        self.run = run
        self.text = text
        self.options = options
        self.word = word
        self.choices = choices
        self.needs = needs
        self.one_of = one_of

    def takes(self, option: str) -> bool:
        """Return True if an option may stand behind this verb."""
        return option in _EVERYWHERE or option in self.options or option in self.needs or option in self.one_of


class Line(Start):
    """A command line that was understood.

    `verb`, its `word` ("" where it has none), options with their values ("" for flags).
    """

    def __init__(self, verb: Verb, word: str, options: "dict[str, str]") -> None:
        self.verb = verb
        self.word = word
        self.options = options
        root = options.get("--root", "/")
        if not exists(root + "/."):
            raise UsageError("--root " + root + ": no such folder; accepted: an existing folder")
        super().__init__(root, options.get("--config"))

    def __contains__(self, option: str) -> bool:
        """Return True if an option was given."""
        return option in self.options

    def __getitem__(self, option: str) -> str:
        """Return an option's value; KeyError where it wasn't given."""
        return self.options[option]

    def get(self, option: str) -> "str | None":
        """Return an option's value, None where it wasn't given."""
        return self.options.get(option)

    def run(self, by: str = "") -> int:
        """Import the verb's module, or another one, and run it; returns the exit code.

        UsageError where the module isn't on this device.
        """
        module, function = (by or self.verb.run).rsplit(".", 1)
        try:
            found = __import__("agent." + module, None, None, (function,))
        except ImportError:
            raise UsageError(self.verb.name + ": " + law.PACKAGE + " isn't installed; accepted: once it is")
        code: int = getattr(found, function)(self)
        return code

    def ask(self, call: str, **fields: "object") -> "dict[str, Any] | None":
        """Return the recorder's answer to a call; None, and the reason on standard error, where it gave none."""
        told: "dict[str, Any] | None" = None
        for answer in self.ask_for(call, **fields):
            told = answer
        return told

    def ask_for(self, call: str, **fields: "object") -> "Iterator[dict[str, Any]]":
        """Yield the lines of the recorder's answer to a call; why there are no more is on standard error."""
        from agent.control import client

        try:
            for answer in client.ask_for(self.paths.run.socket, call, 0, **fields):
                if "error" in answer:
                    sys.stderr.write("oubli: " + answer["error"] + "\n")
                    return
                yield answer
        except (OSError, ValueError) as failure:
            refused = isinstance(failure, OSError) and failure.errno == errno.EACCES
            why = "not permitted for this user" if refused else "the recorder isn't running"
            sys.stderr.write("oubli: no answer at " + self.paths.run.socket + ": " + why + "\n")

    def show(self, value: "Any", lines: "Sequence[str]") -> int:
        """Print the value where --json was given, else the lines; returns 0."""
        print(canonical.dumps(value) if "--json" in self.options else "\n".join(lines))
        return 0


class Table:
    """Both tables, and all that is made of them."""

    def __init__(self, verbs: "Sequence[Verb]", options: "dict[str, Option]", epilogue: str) -> None:
        self.verbs = verbs
        self._options = options
        self._epilogue = epilogue

    def _written(self, option: str) -> str:
        value = self._options[option].value
        return option + (" " + value if value else "")

    def _usage(self, verb: Verb) -> str:
        must = [self._written(option) for option in verb.needs] + [
            " | ".join([self._written(option) for option in verb.one_of])
        ]
        may = ["[" + self._written(option) + "]" for option in verb.options if option != "--json"]
        return " ".join([word for word in [verb.name, verb.word] + must + may if word])

    def help(self, word: str = "") -> str:
        """Return the help of all, or of the verbs that begin with this word."""
        rows = [verb for verb in self.verbs if verb.name.split(" ")[0] == word] or self.verbs
        shown = [(self._usage(verb), verb.text) for verb in rows]
        shown.append(("", ""))
        known = [option for option in sorted(self._options) if any(verb.takes(option) for verb in rows)]
        shown.extend((self._written(option), self._options[option].text) for option in known)
        shown.append(("--help, --version", ""))
        out = ["usage: oubli VERB [--config FILE] [--root DIR] [--json] ...", ""]
        for left, right in shown:
            if len(left) >= _COLUMN:
                out.append("  " + left)
                left = ""  # noqa: PLW2901 (the help goes below it)
            out.append(("  " + left + " " * (_COLUMN - len(left)) + right).rstrip())
        return "\n".join(out + ["", self._epilogue])

    def parse(self, words: "Sequence[str]") -> Line:
        """Return the line that these words are; UsageError names what was wrong and what is accepted."""
        plain, given = [], {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-"):
                plain.append(word)
                continue
            option = self._options.get(word)
            if option is None:
                raise UsageError(word + ": not understood; accepted: " + ", ".join(["VERB"] + self._all() + ["--help"]))
            if word in given:
                raise UsageError(word + ": given twice; accepted: once")
            given[word] = ""
            if option.value:
                if not rest:
                    raise UsageError(word + ": a value is missing; accepted: " + self._written(word))
                given[word] = rest.pop(0)
        verb, plain = self._verb(plain)
        self._check(verb, given)
        word = plain.pop(0) if verb.word and plain else ""
        if verb.word and not word:
            accepted = ", ".join(verb.choices) or self._usage(verb)
            raise UsageError(f"{verb.name}: {verb.word} is missing; accepted: {accepted}")
        if plain or (word and verb.choices and word not in verb.choices):
            accepted = (
                ", ".join(verb.choices)
                if verb.choices and not plain
                else self._usage(verb) + ", --config FILE, --root DIR, --help"
            )
            raise UsageError((plain[0] if plain else word) + ": not understood; accepted: " + accepted)
        return Line(verb, word, given)

    def _all(self) -> "list[str]":
        return [self._written(option) for option in sorted(self._options)]

    def _verb(self, plain: "list[str]") -> "tuple[Verb, list[str]]":
        """Return the verb that these words begin with, and what follows it."""
        names = [verb.name for verb in self.verbs]
        if not plain:
            raise UsageError("a verb is missing; accepted: " + ", ".join(sorted(names)))
        for count in (2, 1):
            name = " ".join(plain[:count])
            if name in names:
                return self.verbs[names.index(name)], plain[count:]
        family = sorted(name for name in names if name.startswith(plain[0] + " "))
        if family:
            wrong = (" ".join(plain[:2]) + ": unknown verb") if plain[1:] else plain[0] + ": a second word is missing"
            raise UsageError(wrong + "; accepted: " + ", ".join(family))
        raise UsageError(plain[0] + ": unknown verb; accepted: " + ", ".join(sorted(names)))

    def _check(self, verb: Verb, given: "dict[str, str]") -> None:
        """Hold the options that were given against the verb's row and their own checks."""
        for name in sorted(given):
            if not verb.takes(name):
                able = ", ".join([other.name + " " + self._written(name) for other in self.verbs if other.takes(name)])
                raise UsageError(name + ": not for " + verb.name + "; accepted: " + able)
            check = self._options[name].check
            if check is not None:
                try:
                    check(given[name])
                except ValueError as failure:
                    raise UsageError(name + ": not understood; accepted: " + failure.args[0])
        for name in verb.needs:
            if name not in given:
                raise UsageError(verb.name + ": " + name + " is missing; accepted: " + self._usage(verb))
        if verb.one_of and len([name for name in verb.one_of if name in given]) != 1:
            accepted = ", ".join([verb.name + " " + self._written(name) for name in verb.one_of])
            raise UsageError(verb.name + ": exactly one of these is needed; accepted: " + accepted)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Sequence
