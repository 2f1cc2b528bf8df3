# SPDX-License-Identifier: Apache-2.0
"""The page on which a terminal's person suspends, resumes or withdraws (L34-V-3, L34-V-4): a request, its answer.

She sees there, too, what the gateway holds on it. She saves that as a file, and has it erased (law 78-17, to which
L34-1 VI refers). There she objects to being counted (L34-VI-5). Which terminal asks is the address that the connection
came from; nothing of the request's text is ever shown. A request must have been made to the address that it came in by,
or to the name `notice.page` (Host): else a foreign name that leads here would make a foreign page one of ours. What
changes anything, or shows records, must be a POST from a page of this same host (Origin, else Referer). It must carry
the token that this page gave this terminal: so another site's page can't do it through a guest's browser. `page_server`
reads requests and sends answers, `page_held` shows records, `page_html` makes HTML of a text.
"""

from agent.purposes import words
from agent.purposes.consent.page_held import HeldPage
from agent.purposes.consent.page_html import plain_text
from agent.runtime.sockets import packed

# What each button asks the recorder, and the word by which that says that it was done.
ACTS = {
    "suspend": ("consent suspend", "suspended"),
    "resume": ("consent resume", "resumed"),
    "withdraw": ("consent withdraw", "withdrawn"),
    "object": ("objection", "objected"),
    "accept": ("objection end", "accepted"),
    "erase": ("erase terminal", "durable"),
}
LOOKS = ("see", "export")
IN_FORCE = ("active", "suspended")


class Page(HeldPage):
    """The answer to one request.

    `ask` and `look` ask the recorder, for one line and for many; `notice` is the configuration's, if any.
    """

    def __init__(
        self,
        request: "Request",
        ask: "Callable[..., dict[str, Any]]",
        look: "Callable[[str], Iterator[Any]]",
        notice: "Section | None",
        had: int = 0,
    ) -> None:
        super().__init__(request, look, notice, had)
        self._request = request
        self._ask = ask
        self.fields = request.fields
        self._counts = False  # whether a row of this terminal may be in the day's table

    def answer(self) -> "str | Iterator[str]":
        """Return the answer, or where it shows records what yields it in parts."""
        address = self._request.address
        act = self.fields.get("act")
        if not self._here():
            return self.page("403 Forbidden", self.paragraph("elsewhere" if self._name else "bad") + self.where())
        if self.posted and act not in ACTS and act not in LOOKS:
            return self.page("400 Bad Request", self.paragraph("bad"))
        if self.posted and not self._from_here():
            return self.page("403 Forbidden", self.paragraph("bad"))
        own = self._ask("consent own", address=address)
        if "error" in own:
            return self.failed(own["error"])
        self._token, self._undoes = own["token"], own["undoes"]
        self._counts = own["counted"] and "counting" in own["beside"] and not own["objects"]
        if not self.posted:
            return self.overview(own)
        if self.fields.get("token") != self.token(act):
            return self.page("403 Forbidden", self.paragraph("again") + self.back())
        if act in LOOKS:
            return self.file(address) if act == "export" else self.held(address)
        return self.act(str(act), address, own)

    def act(self, act: str, address: str, own: "dict[str, Any]") -> str:
        """Do what a button says; return the page that says so, with what is in force then, if that comes.

        What is said of it follows from `own`, the terminal's consents before, and from the answer.
        """
        call, word = ACTS[act]
        purpose = self.fields.get("purpose") if act == "withdraw" else None
        more = {"purpose": purpose} if purpose else {}
        done = self._ask(call, address=address, **more)
        if "error" in done:
            return self.failed(done["error"])
        before = own["consents"]
        agreed = [name for one in before if one["state"] in IN_FORCE for name in one["purposes"]]
        how = " only" if purpose and any(name != purpose for name in agreed) else ""
        count = int(done.get(word, 0))
        said = self.paragraph("done " + act + how if count or act == "erase" else "unchanged", "status", count)
        if act == "erase":
            said += self.paragraph("done withdraw", "", done["withdrawn"]) if done.get("withdrawn") else ""
            said += self.erased(done, own["kept"], address)
        ended = [one for one in before if one["state"] in IN_FORCE and (not purpose or purpose in one["purposes"])]
        stops = done.get("withdrawn") or (count and act in ("suspend", "object"))
        if stops and any(one["third_parties"] not in ("", "none") for one in ended):
            said += self.paragraph("tell")
        if not done.get("durable", True):
            said += self.paragraph("not withdrawn" if done.get("unreadable") else "not durable")
        if act == "accept" and any(one["state"] == "suspended" for one in before):
            said += self.paragraph("stays suspended")
        own = self._ask("consent own", address=address)
        if "error" in own:
            return self.page("200 OK", said + self.paragraph("look") + self.back())
        if act == "erase":
            said += self.paragraph("left" if len(own["kept"]) > len(own["over"]) else "stays")
        return self.overview(own, said)

    def erased(self, done: "dict[str, Any]", kept: "list[tuple[str, int, bool]]", address: str) -> str:
        """Return what is said of an erasure: whether it is over, and what isn't erased, with its end.

        `kept` without a consent: only of `security` does it take a while, where that is on.
        """
        left = [self.sealed(*one) for one in done["sealed"]]
        lasts = "security" in [name for name, _, _ in kept]
        lasts = lasts and self._ask("erase state", address=address).get("erasing", True)
        said = self.paragraph("erasing") if lasts else ""
        if left:
            said += self.paragraph("not erased") + self.items(left)
        return said + (self.paragraph("counting stays") if self._counts else "")

    def _here(self) -> bool:
        """Return True if the request was made to the address that it came in by, or to the page's own name."""
        host = self._request.host.lower()
        name, colon, port = host.rpartition(":")
        asked = name if colon and port.isdigit() else host
        if asked.startswith("[") and asked.endswith("]"):
            asked = asked[1:-1]
        octets = packed(asked.encode())
        return octets == self._request.here if octets else bool(asked) and asked.rstrip(".") == self._name

    def _from_here(self) -> bool:
        host, source = self._request.host, self._request.source
        return any(
            source == scheme + host or source.startswith(scheme + host + "/") for scheme in ("http://", "https://")
        )

    def overview(self, own: "dict[str, Any]", said: str = "") -> str:
        """Return the page: what this terminal consented to, what is kept without that, and buttons that make sense."""
        self._token, self._undoes = own["token"], own["undoes"]  # after an act: as it is now
        said += self.paragraph("unreadable") if own["unreadable"] else ""
        lines, states = "", []
        agreed: "list[str]" = []
        for consent in own["consents"]:
            states.append(consent["state"])
            state = consent["state"]
            agreed += consent["purposes"] if state in IN_FORCE else []
            when = consent["since" if state == "withdrawn" else "end"]
            rows: "list[tuple[list[str], str]]" = []
            for name in consent["purposes"]:
                word = "not applied" if state == "active" and name not in consent["timed"] else state
                told = self.on(word, when) if when else self.gone(0)
                told += self.say("turned off") if name not in own["on"] and state in IN_FORCE else ""
                if rows and rows[-1][1] == told:
                    rows[-1][0].append(name)
                else:
                    rows.append(([name], told))
            third = consent["third_parties"]
            third = self.plain(self.say("third") + " ") + plain_text(self.say("nobody") if third == "none" else third)
            for names, how in rows + [(consent["withdrawn"], self.gone(consent["withdrawn_since"]))]:
                if names:
                    lines += self.item(names, how) + (", " + third if consent["third_parties"] else "") + "</li>\n"
        given = "".join([self.given(one, len(own["consents"]) > 1) for one in own["consents"]])
        active, suspended = states.count("active"), states.count("suspended")
        shown = ""
        if lines:
            shown = f"{self.heading('consents', len(states))}<ul>\n{lines}</ul>{given}{self.paragraph('proof')}"
        if active:
            shown += self.button("suspend", count=active)
        if suspended and not own["objects"]:
            shown += self.button("resume", count=suspended)
        for name in agreed if len(agreed) > 1 else ():
            shown += self.button("withdraw", name)
        if agreed:
            shown += self.button("withdraw", count=active + suspended)
        shown += self.without(own, active)
        held = ["consent"] * bool(lines) + ["objection"] * bool(own["objects"]) + own["beside"]
        late = words.unconfirmed(held, words.LANGUAGES.index(self.language))
        shown += f"<p>{self.plain(late)}</p>\n" if late else ""
        shown += self.button("see") + self.button("export")
        shown += self.button("erase", "", "and withdraw" if agreed else "", active + suspended)
        return self.page("200 OK", said + shown)

    def without(self, own: "dict[str, Any]", active: int) -> str:
        """Return what is kept without a consent, and the button about being counted, which suspends those `active`."""
        goes_on, at = [], words.LANGUAGES.index(self.language)
        for name, seconds, unseen in own["kept"]:
            frozen = self.say("preserved") if name != "security" else ""  # what is sealed may be
            most = f"{self.say('most')} {words.within(name, seconds, self.language)}{frozen}"
            nat = words.NAT[at] if name == "attribution" and own["nat"] else ""
            state = (self.say("unseen") if unseen else "") + (words.OVER[at] if name in own["over"] else "")
            goes_on.append(self.purpose(name) + nat + ", " + state + most)
        goes_on += [
            self.purpose(name) + ", " + words.kept(name, at, own["medium"])
            for name in own["beside"]
            if name != "counting" or not own["objects"]
        ]
        shown = self.heading("kept") + self.paragraph("without") + self.items(goes_on)
        if any(name in ("security", "attribution") for name, _, _ in own["kept"]):
            shown += self.paragraph("unnamed")
        if own["objects"]:
            shown += self.paragraph("uncounted")
            shown += self.paragraph("none applied") if own["consents"] or own["on"] else ""
            if own["objects"][0]:
                shown += f"<p>{self.plain(self.on('since', own['objects'][0]))}.</p>\n"
            shown += self.button("accept")
        elif own["counted"]:
            shown += self.button("object", "", "and suspend" if active else "", active)
        return shown

    def given(self, consent: "dict[str, Any]", which: bool) -> str:
        """Return a paragraph: when a consent was given, and `which` it is; nothing where the time isn't known."""
        if not consent["given"]:
            return ""
        names = [self.purpose(name) for name in consent["purposes"] + consent["withdrawn"]]
        of = self.colon() + ", ".join(names) if which else ""
        return f"<p>{self.plain(self.on('given', consent['given']) + of)}.</p>\n"

    def gone(self, when: int) -> str:
        """Return that something was withdrawn, without a day where the clock wasn't confirmed then."""
        return self.on("withdrawn", when) if when else self.say("was withdrawn")

    def item(self, purposes: "list[str]", told: str) -> str:
        """Return the beginning of a list's item on purposes."""
        names = ", ".join([self.purpose(name) + self.aim(name) for name in purposes])
        return f"<li>{self.plain(names + self.colon())}<b>{self.plain(told)}</b>"

    def aim(self, name: str) -> str:
        """Return what a purpose by consent is for, as the configuration says it: not what was agreed to."""
        return f" ({self.say('aim')} {self._notice[name]})" if self._notice.get(name) else ""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from agent.config.reader import Section
    from agent.purposes.consent.page_connection import Request
