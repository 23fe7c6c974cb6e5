"""Events as JSON for a front end: bounded, and always valid.

A front end is told of a run by messages like this, each with the events after number ``after`` up to and with
number ``until``, pieces of one text gathered::

    {"type": "events", "run_id": "run-…", "agent_id": "agent-…", "after": 12, "until": 40, "events": [{…}, …]}

One that has seen everything up to S and gets another ``after`` than S has missed something, or came late. It
asks ``{"type": "follow", "run_id": "run-…", "after": S}`` and gets the rest in the same form. Events that are
not kept any more are told as ``"lost": N``: those after ``after`` up to number N are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from letta_kernel.messages import Event, Nested, ToolReturned, worded
from letta_kernel.remedies import Words
from letta_kernel.service.event_log import Gap, RunLog

# Characters of what is only shown; a figure has as many as the saved form of a run may have.
_LARGEST = {"display": 3_000_000, "messages": 200_000, "retrieved": 200_000, "beside": 200_000}
_MOST = 500  # events of one message


def messages(run: RunLog, after: int, words: Words) -> Iterator[dict[str, Any]]:
    """Yield what a front end is told that has seen *run* up to number *after*; nothing if nothing is new.

    Parameters
    ----------
    words : what would mend an error, as the front end's door says it.
    """
    while found := run.read(after, behind=0, most=_MOST):
        until = found[-1].number
        events = [
            shown(worded(one.event, words, named=True)) for one in found if not isinstance(one, Gap)
        ]
        told: dict[str, Any] = {"type": "events", "run_id": run.run_id, "agent_id": run.agent_id}
        told.update(after=after, until=until, events=events)
        if isinstance(found[0], Gap):
            told["lost"] = found[0].number
        yield told
        after = until


def shown(event: Event) -> dict[str, Any]:
    """Return an event in JSON, without what is too large to be shown beside a notebook."""
    if isinstance(event, Nested):  # no figure of another agent's tools is shown
        inner = event.event
        if isinstance(inner, ToolReturned):
            inner = inner.model_copy(update={"display": None})
        told = event.model_dump(mode="json", exclude={"event"})
        return {**told, "event": shown(inner)}
    try:
        plain = event.model_dump(mode="json")
    except ValueError:  # a display of a tool's own that is not JSON
        plain = event.model_copy(update={"display": None}).model_dump(mode="json")
    for name, largest in _LARGEST.items():
        if plain.get(name) and len(json.dumps(plain[name])) > largest:
            plain[name] = [] if isinstance(plain[name], list) else None
    text = json.dumps(plain, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which a cut-off text may end with
        plain = json.loads(text.encode("utf-8", "replace"))
    return dict(plain)
