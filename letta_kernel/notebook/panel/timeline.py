"""An agent's past in the panel: its runs, steps and branches, looked at, rewound and forked."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from letta_kernel.display.differences import difference_panel, then_panel
from letta_kernel.notebook.panel.registry import Limit, OfAgent, RequestContext, Word, method
from letta_kernel.service.forks import Rewound


class Page(OfAgent):
    """So many runs of a line, older than the run ``before``."""

    before: Word | None = None
    limit: Limit = 30


class At(OfAgent):
    """A point in time: a step, a run (its end) or a branch, by its id."""

    at: Word


class To(OfAgent):
    """Where to rewind: as `At`."""

    to: Word


class Other(OfAgent):
    """Another point of the agent, or another agent, to be compared with how it is now."""

    other: Word


class NewFork(OfAgent):
    """The name of a new agent, and the point it begins at; None for now."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    at: Word | None = None


@method("timeline", Page)
def timeline(context: RequestContext, asked: Page) -> dict[str, Any]:
    """Return a page of an agent's line, newest run first, with what parts from it (`Timeline.data`)."""
    times = context.service.timeline
    found = times.of(asked.agent, limit=asked.limit, before=asked.before).data()
    # What machines forked for a moment is no place to go to.
    found["branches"] = [one for one in found["branches"] if not one["purpose"]]
    return found


@method("timeline.at", At)
def at(context: RequestContext, asked: At) -> dict[str, str]:
    """Return what an agent was at a point in time, as HTML."""
    return {"html": then_panel(context.service.timeline.at(asked.agent, asked.at, limit=20)).html}


@method("timeline.diff", Other)
def diff(context: RequestContext, asked: Other) -> dict[str, str]:
    """Return how a point, or another agent, differs from how the agent is now, as HTML."""
    found = context.service.timeline.diff("now", asked.other, agent=asked.agent)
    return {"html": difference_panel(found).html}


@method("timeline.preview", To)
def preview(context: RequestContext, asked: To) -> dict[str, Any]:
    """Return what a rewind would do."""
    return _told(context.service.forks.preview(asked.agent, asked.to))


@method("timeline.rewind", To)
def rewind(context: RequestContext, asked: To) -> dict[str, Any]:
    """Bring an agent back to a point; what came after is kept."""
    return _told(context.service.forks.rewind(asked.agent, asked.to))


@method("timeline.undo", OfAgent)
def undo(context: RequestContext, asked: OfAgent) -> dict[str, Any]:
    """Take the last run back."""
    return _told(context.service.forks.undo(asked.agent))


@method("timeline.redo", OfAgent)
def redo(context: RequestContext, asked: OfAgent) -> dict[str, Any]:
    """Return to the end that the last undo or rewind left."""
    return _told(context.service.forks.redo(asked.agent))


@method("timeline.fork", NewFork)
def fork(context: RequestContext, asked: NewFork) -> dict[str, str]:
    """Make an agent that is what another one was at a point in time."""
    made = context.service.forks.fork(asked.agent, asked.name, at=asked.at)
    return {"id": made.id, "name": made.name}


def _told(done: Rewound) -> dict[str, Any]:
    return {
        "runs": len(done.runs),
        "blocks": done.blocks,
        "changed": done.changed,
        "left": done.left,
        "outside": [str(one) for one in done.outside],
    }
