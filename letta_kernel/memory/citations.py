"""Numbers with which an answer cites what its turn found: ``[1]``, ``[2]`` …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.memory.excerpts import around
from letta_kernel.memory.origins import of_passages
from letta_kernel.records import Step
from letta_kernel.store import messages, passages, runs, sights
from letta_kernel.store.database import Tx

_SHOWN = 300  # characters of what is cited


@dataclass(frozen=True, slots=True)
class Cited:
    """A hit that has a number: what was asked for and, of an excerpt of several passages, the ids of all.

    ``text`` is what is shown of it, where that is kept with the step: of passages beside a message.
    """

    n: int
    query: str = ""
    ids: tuple[str, ...] = ()
    text: str = ""


@dataclass(slots=True)
class Citations:
    """The numbers of one turn's hits, passages and messages, by their ids: each keeps the one it got first."""

    numbers: dict[str, int] = field(default_factory=dict)
    _fresh: dict[str, Cited] = field(default_factory=dict)

    def mark(self, item_id: str, query: str, ids: Sequence[str] = ()) -> str:
        """Return the number of a hit as an answer writes it, ``[3]``."""
        number = self.numbers.setdefault(item_id, len(self.numbers) + 1)
        self._fresh[item_id] = Cited(number, query, tuple(ids))
        return f"[{number}]"

    def take(self) -> dict[str, Cited]:
        """Return the hits that were marked since this was asked last."""
        fresh, self._fresh = self._fresh, {}
        return fresh


def kept(found: Mapping[str, Cited]) -> dict[str, Any]:
    """Return what is kept with a call of the hits it found, without their texts."""
    joined = {key: one.ids for key, one in found.items() if len(one.ids) > 1}
    return {
        "cites": {key: one.n for key, one in found.items()},
        "query": next(iter(found.values())).query,
        **({"joined": joined} if joined else {}),
    }


def cited_in(steps: Sequence[Step]) -> dict[str, Cited]:
    """Return the hits that were given numbers in these steps."""
    found: dict[str, Cited] = {}
    for step in steps:
        for one in step.retrieved:
            if "n" in one:
                ids = tuple(one.get("joined") or ())
                text = brief("", one.get("text") or one.get("content") or "")
                found[one["id"]] = Cited(one["n"], ids=ids, text=text)
        for call in step.tool_stats:
            query, joined = call.get("query") or "", call.get("joined") or {}
            for key, number in (call.get("cites") or {}).items():
                found[key] = Cited(number, query, tuple(joined.get(key) or ()))
    return found


def so_far(tx: Tx, run_id: str | None) -> dict[str, Cited]:
    """Return the hits that were given numbers in a run, and in those it went on from after approvals."""
    found: dict[str, Cited] = {}
    while run_id is not None and (run := runs.get(tx, run_id)) is not None:
        found.update(cited_in(runs.steps_of(tx, run.id)))
        run_id = run.continues
    return found


def brief(query: str, text: str) -> str:
    """Return the part of a cited text that is shown: around the words of the query."""
    return around(query, text, _SHOWN)


def shown(tx: Tx, found: Mapping[str, Cited], agent_id: str) -> list[dict[str, Any]]:
    """Return what is shown of these hits, but those that are gone: ``n``, ``text``, ``at``, ``origin``.

    Passages are as the agent finds them, who may have them from another one's past.
    """
    every = list(dict.fromkeys(one for key, hit in found.items() for one in (key, *hit.ids)))
    there = {one.id: one for one in passages.get_many(tx, every)} if every else {}
    if every and not (sight := sights.of_agent(tx, agent_id)).plain:
        there |= {one.id: one for one in passages.get_many(tx, every, sight)}
    best = [one for one in there.values() if one.id in found]
    told: list[tuple[int, str, Any, str]] = []
    for one, origin in zip(best, of_passages(tx, best), strict=True):
        hit = found[one.id]
        parts = [there[part].content for part in hit.ids or (one.id,) if part in there]
        whole = len(parts) == len(hit.ids or (one.id,))
        text = hit.text if hit.text and whole else brief(hit.query, "\n".join(parts))
        told.append((hit.n, text, one.created_at, origin.source))
    said = [one for one in found if one.startswith("message-")]
    for message in messages.get_many(tx, said) if said else ():
        who = "you" if message.role == "user" else message.role
        hit = found[message.id]
        text = brief(hit.query, message.said)
        told.append((hit.n, text, message.created_at, f"message of {who}"))
    return [
        {"n": n, "text": text, "at": at.isoformat(timespec="minutes"), "origin": origin}
        for n, text, at, origin in sorted(told, key=lambda one: one[0])
    ]
