"""Sleep-time agents in the panel: what they did, what they propose, and a person's word on it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from letta_kernel.notebook.panel.registry import OfAgent, Params, RequestContext, Word, method


class Decided(OfAgent):
    """Which proposals are meant, all if none; with ``part`` the part of one of that number, from 1 on."""

    which: Annotated[list[Word], Field(max_length=1000)] = Field(default_factory=list)
    part: int | None = Field(None, ge=1)


@method("sleeptime", OfAgent)
def sleeptime(context: RequestContext, asked: OfAgent) -> dict[str, Any] | None:
    """Return how the one that tidies an agent's memory stands; None if nobody does."""
    service = context.service.sleeptime
    found = service.standing(asked.agent)
    if found is None:
        return None
    last = found.last
    return {
        "name": found.sleeper.name,
        "every": found.group.sleeptime_agent_frequency or 1,
        "review": bool(found.group.sleeptime_propose_only),
        "turns": found.turns,
        "running": found.running,
        "doubt": found.doubt,
        "last": None
        if last is None
        else {
            "id": last.id,
            "status": last.status,
            "at": last.ended_at or last.created_at,
            "note": last.note,
            "told": last.told,
            "changed": found.labels,
        },
        "proposals": [
            {
                "id": one.id,
                "label": one.label,
                "reason": one.reason,
                "parts": [
                    {"before": before, "after": after}
                    for before, after in service.review.parts(one)
                ],
            }
            for one in found.waiting
        ],
    }


@method("sleeptime.accept", Decided)
def accept(context: RequestContext, asked: Decided) -> None:
    """Let what is proposed land."""
    context.service.sleeptime.review.accept(asked.agent, asked.which, hunk=asked.part)


@method("sleeptime.reject", Decided)
def reject(context: RequestContext, asked: Decided) -> None:
    """Let what is proposed go."""
    context.service.sleeptime.review.reject(asked.agent, asked.which, hunk=asked.part)


@method("sleeptime.undo", OfAgent)
def undo(context: RequestContext, asked: OfAgent) -> list[str]:
    """Take back all that was changed last; return the labels of the blocks."""
    return context.service.sleeptime.review.undo(asked.agent)[1]


@method("sleeptime.told", OfAgent)
def told(context: RequestContext, asked: OfAgent) -> None:
    """Take note that the person has seen what was changed."""
    context.service.sleeptime.told(asked.agent)


@method("sleeptime.news", empty={"proposed": 0, "tidied": 0})
def news(context: RequestContext, asked: Params) -> dict[str, int]:
    """Return how many changes are proposed, and of how many agents nobody was told that memory was tidied."""
    proposed, tidied = context.service.sleeptime.untold()
    return {"proposed": proposed, "tidied": tidied}
