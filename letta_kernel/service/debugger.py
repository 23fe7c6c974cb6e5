"""The debugger: a run stops, a person looks at what comes next, changes it, and lets it go on.

A run stops before each model call, after its reply, before each tool call and after its result: at all of these
while the person steps, else where one of the agent's breakpoints holds. What is shown is a `Stop`, with texts
that may be changed; what is said of it is a `Move`. Doors show the one and make the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from letta_kernel.agent import prompts
from letta_kernel.agent.breakpoints import Breakpoint, parse
from letta_kernel.agent.context import ContextPart
from letta_kernel.agent.decisions import Decision
from letta_kernel.agent.model_call import Cancelled
from letta_kernel.agent.stops import At, Result, Said, Stops, as_json
from letta_kernel.errors import InvalidInputError, LettaError
from letta_kernel.ids import new_id
from letta_kernel.memory.blocks import Change
from letta_kernel.messages import Message, ToolCall
from letta_kernel.models.base import Cancel, ChatRequest
from letta_kernel.service.debug import Debug, Editable, Point, Stop
from letta_kernel.tools import core
from letta_kernel.tools.outcome import Outcome

MAX_TEXT = 1_000_000  # characters of one change
_BLOCKS = ("<memory_blocks>\n", "\n</memory_blocks>")
_TITLES: dict[Point, str] = {
    "request": "before the model call",
    "reply": "after the model's reply",
    "call": "before the call of",
    "result": "after the call of",
}


def stops(
    debug: Debug, breakpoints: Sequence[str], cancel: Cancel, count: Callable[[str], int]
) -> Stops:
    """Return the stops of a run that *debug* looks at; *count* counts the tokens of a text."""
    return Stops(Debugger(debug, [parse(one) for one in breakpoints], cancel, count))


class Debugger:
    """The hooks of one run in front of a person (`letta_kernel.agent.stops.StepHooks`)."""

    def __init__(
        self,
        debug: Debug,
        breakpoints: Sequence[Breakpoint],
        cancel: Cancel,
        count: Callable[[str], int],
    ) -> None:
        self._debug = debug
        self._breakpoints = breakpoints
        self._cancel = cancel
        self._count = count
        self._alone = False  # nobody can be asked
        self._to_request = False  # it goes on to the next model call
        self._seen: dict[str, int] = {}  # how often each word stood in the last request
        self._paid: set[Breakpoint] = set()  # costs that it has stopped at
        self._stopped_at: set[tuple[str, Breakpoint]] = set()  # calls that it has stopped before

    # -- the four places -----------------------------------------------------------------------------

    def before_model(self, at: At, request: ChatRequest) -> Mapping[int, str]:
        """Show the next request; return the texts that were changed."""
        why = [*self._words_in(request), *self._limits(at)]
        if at.step.number > 1:
            done = at.step.number - 1
            why += [b for b in self._breakpoints if b.kind == "steps" and not done % b.number]
        if not self._stops(why, request=True):
            return {}
        editable = []
        for place, entry in enumerate(request.messages):
            if isinstance(text := entry.get("content") or "", str):
                editable.append(Editable(str(place), _label(entry), text))
        parts = self._parts(request)

        def check(changes: Mapping[str, str]) -> dict[int, str]:
            changed = {int(key): text for key, text in changes.items()}
            left = [
                entry
                for place, entry in enumerate(request.messages)
                if entry["role"] != "system" and changed.get(place) != ""
            ]
            if not left:
                raise InvalidInputError("Nothing would be left to answer: leave one message.")
            return changed

        return self._ask(at, "request", _TITLES["request"], why, parts, editable, check)

    def after_reply(self, at: At, message: Message) -> Said | None:
        """Show what the model has said; return what takes its place."""
        said = "\n".join([message.content, *(call.arguments for call in message.tool_calls)])
        why = [b for b in self._of("word") if b.value.lower() in said.lower()]
        why += self._limits(at)
        if not self._stops(why):
            return None
        shown = as_json(message.tool_calls)
        editable = [
            Editable("text", "what it says", message.content),
            Editable("calls", "the tools it calls, as JSON", shown),
        ]

        def check(changes: Mapping[str, str]) -> Said:
            calls: Sequence[ToolCall] = message.tool_calls
            if changes.get("calls", shown) != shown:
                calls = _read_calls(changes["calls"], message.tool_calls)
            return Said(changes.get("text", message.content), calls)

        parts = [self._part("reasoning", message.reasoning)] if message.reasoning else []
        return self._ask(at, "reply", _TITLES["reply"], why, parts, editable, check)

    def before_call(self, at: At, call: ToolCall) -> Decision | None:
        """Show a call; return other arguments, or a result instead of running it."""
        labels = _labels(call)
        why = [b for b in self._of("tool") if fnmatchcase(call.name, b.value)]
        why += [b for b in self._of("memory") if any(fnmatchcase(one, b.value) for one in labels)]
        if not self._stops(why):
            return None
        self._stopped_at |= {(call.id, b) for b in why}
        editable = [
            Editable("arguments", "its arguments, as JSON", _pretty(call.arguments)),
            Editable("result", "a result, instead of running it", ""),
            Editable("error", "an error, instead of running it", ""),
        ]

        def check(changes: Mapping[str, str]) -> Decision | None:
            arguments = None
            if "arguments" in changes:
                arguments = _object(changes["arguments"], "The arguments are")
            failed = bool(changes.get("error"))
            result = changes.get("error") or changes.get("result")
            if arguments is None and result is None:
                return None
            return Decision(call.id, True, arguments=arguments, result=result, failed=failed)

        title = f"{_TITLES['call']} {call.name}"
        return self._ask(at, "call", title, why, [], editable, check)

    def after_call(
        self, at: At, call: ToolCall, outcome: Outcome, saved: bool, changes: Sequence[Change]
    ) -> Result | None:
        """Show a result; return what takes its place, unless it is kept with what it changed."""
        labels = {*(one.block.label for one in changes), *outcome.written}
        why = [
            b
            for b in self._of("memory")
            if any(fnmatchcase(one, b.value) for one in labels)
            and (call.id, b) not in self._stopped_at
        ]
        if not self._stops(why):
            return None
        failed = outcome.status != "ok"
        parts, editable = [], []
        if saved:
            parts = [self._part("result, kept with what it changed", outcome.text)]
        else:
            editable = [
                Editable("result", "its result", "" if failed else outcome.text),
                Editable("error", "its error", outcome.text if failed else ""),
            ]

        def check(given: Mapping[str, str]) -> Result | None:
            if given.get("error"):
                return Result(given["error"], failed=True)
            return Result(given["result"]) if "result" in given else None

        title = f"{_TITLES['result']} {call.name}"
        return self._ask(at, "result", title, why, parts, editable, check)

    # -- what they share -----------------------------------------------------------------------------

    def _of(self, kind: str) -> list[Breakpoint]:
        return [one for one in self._breakpoints if one.kind == kind]

    def _limits(self, at: At) -> list[Breakpoint]:
        """Return the costs that the run has come to; each counts once."""
        cost = at.taken.cost or 0.0
        found = [b for b in self._of("cost") if cost >= b.number and b not in self._paid]
        self._paid |= set(found)
        return found

    def _words_in(self, request: ChatRequest) -> list[Breakpoint]:
        """Return the words that stand in a request more often than in the one before."""
        wanted = self._of("word")
        if not wanted:
            return []
        text = "\n".join(_text(entry) for entry in request.messages).lower()
        before = self._seen
        self._seen = {b.value: text.count(b.value.lower()) for b in wanted}
        return [b for b in wanted if self._seen[b.value] > before.get(b.value, 0)]

    def _stops(self, why: Sequence[Breakpoint], request: bool = False) -> bool:
        if self._alone:
            return False
        stepping = self._debug.stepping and (request or not self._to_request)
        return stepping or bool(why)

    def _part(self, name: str, text: str) -> ContextPart:
        return ContextPart(name, self._count(text) if text else 0, text)

    def _parts(self, request: ChatRequest) -> list[ContextPart]:
        """Return the parts of a request: system prompt, blocks, summary, messages, tools, settings."""
        system, summary = "", ""
        said: list[str] = []
        for entry in request.messages:
            text = _text(entry)
            if entry["role"] == "system" and not system:
                system = text
            elif text.startswith(prompts.SUMMARY_PREFIX) and not said:
                summary = text
            else:
                said.append(f"{_label(entry)}: {text}")
        head, opened, rest = system.partition(_BLOCKS[0])
        blocks, closed, tail = rest.partition(_BLOCKS[1])
        more = {name: value for name, value in request.params.items() if value is not None}
        if request.tool_choice is not None:
            more["tool_choice"] = request.tool_choice
        if request.response_format is not None:
            more["response_format"] = request.response_format.schema
        tools = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in request.tools)
        texts = {
            "system prompt": (head + tail).strip() if closed else system,
            "memory blocks": opened + blocks + closed if closed else "",
            "summary": summary,
            "messages": "\n".join(said),
            "tools": tools,
            "settings": json.dumps(more, ensure_ascii=False, default=str) if more else "",
        }
        return [self._part(name, text) for name, text in texts.items() if text]

    def _ask(
        self,
        at: At,
        point: Point,
        title: str,
        why: Iterable[Breakpoint],
        parts: Sequence[ContextPart],
        editable: Sequence[Editable],
        check: Callable[[Mapping[str, str]], Any],
    ) -> Any:
        """Ask until what is said can be done; return what *check* makes of the changes.

        Raises
        ------
        Cancelled
            The run is to end.
        """
        step, problem, note = at.step, "", ""
        known = {one.key: one.text for one in editable}
        changes: dict[str, str] = {}
        while True:
            stop = Stop(
                step.agent_id,
                step.run_id,
                step.id,
                step.number,
                point,
                title,
                ", ".join(map(str, why)),
                parts,
                editable,
                problem,
                note,
            )
            move = self._debug.ask(stop, lambda: self._cancel.cancelled)
            if self._cancel.cancelled or (move is not None and move.action == "stop"):
                self._cancel.cancel()
                raise Cancelled
            if move is None:
                self._alone = True
                return check({})
            problem = note = ""
            changes |= move.changes  # what was typed before a fork, or a mistake, is not lost
            try:
                if move.action == "fork":
                    note = self._fork(step.agent_id, move.name)
                made = check(_changed(changes, known))
            except LettaError as error:
                problem = error.text
            if problem or note:
                changes = {key: text for key, text in changes.items() if key in known}
                editable = [
                    Editable(one.key, one.label, changes.get(one.key, one.text)) for one in editable
                ]
                continue
            self._debug.stepping = move.action in ("step", "next")
            self._to_request = move.action == "next"
            return made

    def _fork(self, agent_id: str, name: str) -> str:
        """Make an agent of what this one is now; return what is said of that."""
        if self._debug.fork is None:
            raise InvalidInputError("Nothing can be forked here.")
        made = self._debug.fork(agent_id, name.strip() or None)
        return f"{made} is what the agent was before this."


def _changed(changes: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Return those *changes* that change something that may be changed."""
    for key, text in changes.items():
        if key not in known:
            there = ", ".join(known) or "nothing"
            raise InvalidInputError(f"{key!r} cannot be changed here; what can: {there}.")
        if len(text) > MAX_TEXT:
            raise InvalidInputError(f"A text may have {MAX_TEXT:,} characters.")
    return {key: text for key, text in changes.items() if text != known[key]}


def _text(entry: Mapping[str, Any]) -> str:
    """Return what of a request's message is text, its calls included."""
    content = entry.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(str(part.get("text") or "") for part in content)
    calls = [call["function"] for call in entry.get("tool_calls") or ()]
    return "\n".join([content, *(f"calls {one['name']}({one['arguments']})" for one in calls)])


def _label(entry: Mapping[str, Any]) -> str:
    calls = [call["function"]["name"] for call in entry.get("tool_calls") or ()]
    return f"{entry['role']} (calls {', '.join(calls)})" if calls else str(entry["role"])


def _labels(call: ToolCall) -> set[str]:
    """Return the labels of the blocks that a call is about to change."""
    if call.name not in core.WRITERS:
        return set()
    given = call.values or {}
    named = [given.get(key) for key in ("label", "path", "old_path", "new_path")]
    return {one.removeprefix("/memories/").strip("/") for one in named if isinstance(one, str)}


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return arguments  # malformed: as the model sent them


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        said = str(error).partition("\n")[0]
        raise InvalidInputError(f"{what} no JSON: {said}.") from None


def _object(text: str, what: str) -> dict[str, Any]:
    given = _json(text, what)
    if not isinstance(given, dict):
        raise InvalidInputError(f'{what} no JSON object, as {{"name": "value"}}.')
    return given


def _read_calls(text: str, before: Sequence[ToolCall]) -> list[ToolCall]:
    """Return the calls that a person wrote; one keeps its id where it is one of those *before*."""
    given = _json(text or "[]", "The calls are")
    known = {call.id for call in before}
    calls: list[ToolCall] = []
    for one in given if isinstance(given, list) else [None]:
        arguments = one.get("arguments", {}) if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not one["name"]:
            raise InvalidInputError(
                'The calls are a list, as [{"name": "add", "arguments": {"a": 1}}].'
            )
        call_id = one.get("id") if one.get("id") in known else new_id("call")
        known.discard(str(call_id))
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append(ToolCall(id=str(call_id), name=one["name"], arguments=written))
    return calls
