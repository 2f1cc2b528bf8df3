# SPDX-License-Identifier: Apache-2.0
"""Wrong messages for the fleet's collector, made of right ones, and a run that stores right ones among them.

`python -m tools.fleet.fuzz --db URL` plays 100,000 into an empty store. It ends with exit 1 if one stopped the
collector, or if a right one beside them is missing or there twice. So it does if the store refused what the schemas had
let through.
"""

import json
import random
from typing import Annotated, Any

import typer

from agent.outbox import topics
from agent.summary import messages
from agent.summary.metrics import METRICS, scale
from tools.fleet import site

DAY = 20_780  # an agent-day: 2026-11-23
NOW = (DAY + 2) * 86_400
BATCH, GOOD = 256, 8  # messages of one transaction, and each so-manieth is a right one
_VALUES: tuple[Any, ...] = (
    2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**64, 10**300, -1, 0, True, None, 1.5, [], {}, "", "x" * 3000,
    "\x00", "1\x00", "\ud800", "\n", "2026-11-23\n", "9999-12-31", "0001-01-01", "\u202e", "=1+1", "\U0001f4a9",
)  # fmt: skip


def gateway(number: int) -> str:
    """Return the id of gateway `number`."""
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> 5 * place & 31] for place in range(16))


def summary(ident: str, number: int) -> tuple[str, bytes]:
    """Return topic and payload of a gateway's summary; `number` says which hour of which day."""
    day, slot = DAY - number // 24 % 300, number % 24
    end = day * 86_400 + 3 * 3600 + (slot + 1) * 3600
    return topics.summary(ident, "arrivals"), messages.summary(
        ident, METRICS[0], day, slot, end - 3600, end, [number % 90], scale(1, 250)
    )


def mutated(draw: random.Random, seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return a right message with one to three things wrong: a value, a key, an octet, its length, its topic."""
    topic, payload = draw.choice(seeds)
    for _ in range(draw.randint(1, 3)):
        match draw.randrange(8):
            case 0:
                place = draw.randrange(len(payload) + 1)
                payload = payload[:place] + draw.randbytes(draw.randrange(3)) + payload[place + draw.randrange(3) :]
            case 1:
                topic = draw.choice(
                    (
                        topic + draw.choice(("\n", "/", "\x00", "\ud800")),
                        topic.replace("/1/", "/2/"),
                        draw.choice(seeds)[0],
                    )
                )
            case _:
                payload = _changed(draw, payload)
    return topic, payload


def _changed(draw: random.Random, payload: bytes) -> bytes:
    """Return a JSON object with one value replaced, lengthened, added or left out, however deep."""
    try:
        content = inner = json.loads(payload)
        key: Any = None
        while isinstance(inner, dict | list) and inner:
            outer, key = inner, draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            inner = outer[key]
        if key is None:
            return payload + b"}"
        former = outer[key]
        outer[key] = (
            former + draw.choice(("\n", "\x00", "\ud800"))
            if isinstance(former, str) and draw.random() < 0.5
            else draw.choice(_VALUES)
        )
        if isinstance(outer, dict) and draw.random() < 0.2:
            del outer[key]
        return json.dumps(content, ensure_ascii=draw.random() < 0.9).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return payload + b"}"


def run(count: int, seed: int) -> dict[str, int]:
    """Play wrong messages, right ones beside them, into the open store; return fates, `missing`, `twice`."""
    from django.db.models import Sum

    from tools.fleet import simulated
    from tools.fleet.delivery import Arrival
    from tools.fleet.intake import Intake
    from tools.fleet.models import Message, Total

    draw, intake = random.Random(seed), Intake()
    hostile = [gateway(number) for number in range(1000, 1008)]
    seeds = [summary(ident, number) for number, ident in enumerate(hostile)]
    seeds += [(one.topic, one.payload) for one in (simulated.health(ident, NOW) for ident in hostile)]
    online = {"state": "online", "boot": "0" * 32, "version": "0.1.0", "config": "0" * 16}
    seeds += [(topics.state(ident), json.dumps(online).encode()) for ident in hostile]
    sent: dict[str, int] = {}
    for start in range(0, count, BATCH):
        batch = [Arrival(*mutated(draw, seeds)) for _ in range(min(BATCH, count - start))]
        for place in range(0, len(batch), GOOD):
            number = len(sent)
            right = Arrival(*summary(gateway(number // 7200), number % 7200))
            sent[f"{gateway(number // 7200)}/{number % 7200}"] = number % 7200 % 90
            batch.insert(place + draw.randrange(GOOD), right)
        intake.take(batch, NOW)
    rows = Message.objects.exclude(gateway__ident__in=hostile).values_list("gateway__ident", "day", "slot", "v0")
    kept = {f"{ident}/{(DAY - day) * 24 + slot}": value for ident, day, slot, value in rows}
    totals = Total.objects.aggregate(count=Sum("count"))["count"]
    missing = sum(kept.get(key) != value for key, value in sent.items())
    return {
        **intake.fates,
        "right": len(sent),
        "missing": missing,
        "twice": totals - Message.objects.count() + len(kept) - len(sent),
    }


def main(
    db: Annotated[str, typer.Option("--db", metavar="URL", help="An empty store: sqlite:///FILE or postgresql://...")],
    count: Annotated[int, typer.Option("--messages", min=1, help="How many wrong ones.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same messages.")] = 1,
) -> None:
    """Play wrong messages into a store, right ones among them."""
    site.configure(db)
    site.open_store()
    found = run(count, seed)
    typer.echo(", ".join(f"{number} {name}" for name, number in sorted(found.items())))
    raise typer.Exit(1 if found["missing"] or found["twice"] or found.get("store") else 0)


if __name__ == "__main__":
    typer.run(main)
