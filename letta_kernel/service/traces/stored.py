"""Spans of runs that are over, made of what the store keeps of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from letta_kernel import lazy_import
from letta_kernel.messages import Message, Usage
from letta_kernel.service.core import Core
from letta_kernel.service.traces import spans
from letta_kernel.service.traces.spans import Place, Span, Whose
from letta_kernel.store import messages, view_rows
from letta_kernel.store.database import Tx
from letta_kernel.store.views import CALLS, MESSAGES, RUNS, STEPS

Row = Mapping[str, Any]
_MOST_MESSAGES = 5_000  # of one run


def stored_spans(core: Core, agent_id: str | None, content: bool) -> Iterator[Span]:
    """Yield the spans of all runs of an agent, or of all agents, those of the oldest run first.

    Parameters
    ----------
    content : with what was said and done, without secrets.
    """
    lazy_import.load("pyarrow")
    wanted = {
        "runs": RUNS.select(),
        "steps": STEPS.select(),
        "calls": CALLS.select(*(CALLS.columns if content else _without_texts())),
        "replies": f"{MESSAGES.select('step_id', 'created_at', 'calls')}"
        " WHERE role = 'assistant' AND step_id IS NOT NULL",
    }
    tables = core.look(lambda tx: view_rows.rows(tx, wanted))
    found: dict[str, list[Row]] = {name: one.to_pylist() for name, one in tables.items()}
    store = _Stored(found)
    for run in sorted(store.runs.values(), key=lambda one: (one["created_at"], one["run_id"])):
        if run["ended_at"] is not None and agent_id in (None, run["agent_id"]):
            said = core.do(lambda tx, run=run: _said(tx, run)) if content else None  # type: ignore[misc]
            yield from store.spans(run, said)


def _without_texts() -> list[str]:
    return [name for name in CALLS.columns if name not in ("arguments", "result")]


def _said(tx: Tx, run: Row) -> list[Message]:
    return messages.page(
        tx, run["agent_id"], run_id=run["run_id"], limit=_MOST_MESSAGES, newest_first=False
    )


class _Stored:
    """The rows of all runs, by what they belong to."""

    def __init__(self, rows: Mapping[str, Sequence[Row]]) -> None:
        self.runs: dict[str, Row] = {one["run_id"]: one for one in rows["runs"]}
        self._steps: dict[str, list[Row]] = defaultdict(list)
        for one in sorted(rows["steps"], key=lambda one: one["number"]):
            self._steps[one["run_id"]].append(one)
        self._calls: dict[str, list[Row]] = defaultdict(list)
        for one in rows["calls"]:
            self._calls[one["run_id"]].append(one)
        self._replies: dict[str, Row] = {one["step_id"]: one for one in rows["replies"]}

    def spans(self, run: Row, said: list[Message] | None) -> Iterator[Span]:
        """Yield a run's spans, its own last; *said* are its messages where content is wanted."""
        whose = _whose(run)
        place = self._place(run)
        inside = Place(place.trace_id, whose.span_id)
        steps = self._steps[run["run_id"]]
        for step in steps:
            if step["number"] > 0:
                own = None if said is None else [m for m in said if m.step_id == step["step_id"]]
                before = None if said is None else _new_before(said, step["step_id"])
                yield self._chat(whose, inside, run, step, own, before)
        for call in self._calls[run["run_id"]]:
            if call["ended_at"] is not None:
                yield _tool(whose, inside, call, content=said is not None)
        yield spans.run_span(
            whose,
            place,
            _ns(run["created_at"]),
            _ns(run["ended_at"]),
            usage=_usage(run),
            steps=run["steps"],
            stop_reason=run["stop_reason"],
            error=run["error"],
            said=None if said is None else [m for m in said if m.step_id is None],
            answered=[m for m in said or () if m.role == "assistant"][-1:],
        )

    def _chat(
        self,
        whose: Whose,
        place: Place,
        run: Row,
        step: Row,
        own: list[Message] | None,
        before: list[Message] | None,
    ) -> Span:
        begun, reply = step["created_at"], self._replies.get(step["step_id"])
        ended = reply["created_at"] if reply is not None else _later(begun, step["seconds"])
        failed = reply is None and run["error"] is not None
        finish = None if reply is None else "tool_call" if reply["calls"] else "stop"
        return spans.chat_span(
            whose,
            place,
            _ns(begun),
            max(_ns(begun), _ns(ended)),
            step_id=step["step_id"],
            number=step["number"],
            model=step["model"],
            usage=_usage(step),
            first_token=step["first_token"],
            finish=finish,
            error_type=(run["stop_reason"] or "error") if failed else None,
            error=run["error"] if failed else None,
            said=before,
            answered=[m for m in own or () if m.role == "assistant"],
        )

    def _place(self, run: Row) -> Place:
        """Return where a run belongs: inside the call that asked for it, if one did."""
        asking = self.runs.get(run["asked_by"] or "")
        if asking is None or asking is run:
            return Place(spans.trace_id(run["run_id"]))
        calls = self._calls[asking["run_id"]]
        step = next((c["step_id"] for c in calls if c["call_id"] == run["asked_call"]), "")
        call = spans.call_span_id(asking["run_id"], step, run["asked_call"] or "")
        return Place(self._place(asking).trace_id, call)


def _tool(whose: Whose, place: Place, call: Row, *, content: bool) -> Span:
    ended = _ns(call["ended_at"])
    return spans.tool_span(
        whose,
        place,
        ended - int((call["seconds"] or 0.0) * 1e9),
        ended,
        step_id=call["step_id"] or "",
        call_id=call["call_id"],
        tool=call["tool"],
        status=call["status"],
        error=call["error"],
        arguments=call["arguments"] if content else None,
        result=call["result"] if content else None,
    )


def _new_before(said: Sequence[Message], step_id: str) -> list[Message]:
    """Return what was new to the model in a step: what came in, or the results of the step before."""
    earlier = [m for m in said if m.step_id != step_id]
    first = next((n for n, m in enumerate(said) if m.step_id == step_id), len(said))
    before = [m for m in earlier[:first] if m.role != "assistant"]
    last = before[-1].step_id if before else None
    return [m for m in before if m.step_id == last]


def _whose(run: Row) -> Whose:
    return Whose(
        run["run_id"], run["agent_id"], run["agent"] or "", run["conversation_id"], run["model"]
    )


def _usage(row: Row) -> Usage:
    return Usage(**{name: row[name] for name in Usage.model_fields})


def _later(moment: datetime, seconds: float | None) -> datetime:
    return moment + timedelta(seconds=seconds or 0.0)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000
