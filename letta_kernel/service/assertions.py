"""Sentences about an agent's state, such as ``block human contains Ada``, and whether they hold.

They are what a lesson's exercises are checked by: they look at what is kept, not at what an answer says of it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.messages import Message, spoken
from letta_kernel.records import AgentState, WholeRun
from letta_kernel.service.agents import Agents
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.experiments.grading import same_text
from letta_kernel.service.messages import Messages
from letta_kernel.service.passages import Passages
from letta_kernel.service.runs import Runs
from letta_kernel.service.timeline import Times
from letta_kernel.service.tools import Tools

_MOST = 10_000  # messages or passages that are looked through
_SHOWN = 160  # characters of a text that a finding quotes


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether an assertion holds (it is true then), and what was found, in one line."""

    assertion: str
    holds: bool
    found: str

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        return f"✓ {self.assertion}" if self.holds else f"✗ {self.assertion}: {self.found}"


class Assertions:
    """Looks whether sentences about agents hold; nothing is changed."""

    def __init__(
        self,
        *,
        agents: Agents,
        blocks: Blocks,
        passages: Passages,
        messages: Messages,
        tools: Tools,
        runs: Runs,
        timeline: Times,
    ) -> None:
        self._agents = agents
        self._blocks = blocks
        self._passages = passages
        self._messages = messages
        self._tools = tools
        self._runs = runs
        self._timeline = timeline

    def check(self, assertion: str, *, agent: str) -> Finding:
        """Return whether *assertion*, one of `FORMS`, holds for *agent* (a name or id).

        Of what is not there (the agent, a block, an answer, a run) nothing holds, nor does its contrary,
        so that no exercise is done by not beginning it.

        Raises
        ------
        InvalidInputError
            It has none of the forms; the line lists those of its subject, or all.
        """
        assertion, rest = _read(assertion)
        negated = rest != assertion
        for _, pattern, look in _LOOKS:
            if said := pattern.fullmatch(rest):
                try:
                    state = self._agents.retrieve(agent)
                except NotFoundError:
                    return Finding(assertion, False, f"there is no agent {agent}")
                holds, why = look(self, state, said)
                return Finding(assertion, holds is not None and holds != negated, why)
        raise InvalidInputError(_unknown(assertion, rest))

    def _block(self, state: AgentState, said: re.Match[str]) -> tuple[bool | None, str]:
        label = _plain(said["name"])
        value = self._value(state, label)
        if value is None:
            return None, f"{state.name} has no block {label}"
        holds = _compared(said["verb"], value, _plain(said["text"]))
        return holds, f"block {label} is {_short(value)}"

    def _block_exists(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        labels = sorted(one.label for one in self._blocks.list(agent=state.id))
        return _plain(said["name"]) in labels, f"its blocks are {_listed(labels)}"

    def _block_versions(self, state: AgentState, said: re.Match[str]) -> tuple[bool | None, str]:
        label = _plain(said["name"])
        if self._value(state, label) is None:
            return None, f"{state.name} has no block {label}"
        number = len(self._blocks.versions(label, agent=state.id))
        return _counted(said, number), f"block {label} has {_number(number, 'version')}"

    def _archive(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        wanted = _plain(said["text"])
        kept = self._passages.list(state.id, _MOST)
        holding = [one for one in kept if _has(one.content, wanted)]
        if holding:
            return True, f"a passage is {_short(holding[0].content)}"
        newest = f"; the newest is {_short(kept[0].content)}" if kept else ""
        return False, f"none of {_number(len(kept), 'passage')} has it{newest}"

    def _archive_size(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        number = len(self._passages.list(state.id, _MOST))
        return _counted(said, number), f"the archive has {_number(number, 'passage')}"

    def _history(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        every = self._messages.history(state.id, _MOST)
        wanted = _plain(said["text"])
        if any(_has(_said(one), wanted) for one in every):
            return True, "a message has it"
        return False, f"none of {_number(len(every), 'message')} has it"

    def _answer(self, state: AgentState, said: re.Match[str]) -> tuple[bool | None, str]:
        every = self._messages.history(state.id, _MOST)
        answers = [text for one in every if one.role == "assistant" and (text := _said(one))]
        if not answers:
            return None, f"{state.name} has not answered yet"
        holds = _compared(said["verb"], answers[-1], _plain(said["text"]))
        return holds, f"it said {_short(answers[-1])}"

    def _tool_exists(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        names = sorted(one.name for one in self._tools.list(state.id))
        return _plain(said["name"]) in names, f"its tools are {_listed(names)}"

    def _tool_called(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        tool = _plain(said["name"])
        wanted = _arguments(said["arguments"] or "")
        every = [one for one in self._calls(state) if one[0] == tool]
        meant = [one for one in every if one[2] and _fits(one[1], wanted)]
        good = _counted(said, len(meant)) if said["number"] else bool(meant)
        if not every:
            called = sorted({one[0] for one in self._calls(state)})
            return good, f"{tool} was not called; called were {_listed(called)}"
        last = ", ".join(f"{name}={value!r}" for name, value in every[-1][1].items())
        how = "" if len(meant) == len(every) else f", {len(meant)} of them as asked"
        return (
            good,
            f"{tool} was called {_number(len(every), 'time')}{how}; last with {_short(last)}",
        )

    def _tool_failed(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        tool = _plain(said["name"])
        every = [one for one in self._calls(state) if one[0] == tool]
        failed = sum(not one[2] for one in every)
        return failed > 0, f"{failed} of {_number(len(every), 'call')} of {tool} failed"

    def _run(self, state: AgentState, said: re.Match[str]) -> tuple[bool | None, str]:
        last = self._last(state)
        if last is None:
            return None, f"{state.name} has had no run"
        ended = last.stop_reason or last.status
        return ended == _plain(said["text"]), f"the last run ended with {ended}"

    def _run_steps(self, state: AgentState, said: re.Match[str]) -> tuple[bool | None, str]:
        last = self._last(state)
        if last is None:
            return None, f"{state.name} has had no run"
        return _counted(said, last.steps), f"the last run had {_number(last.steps, 'step')}"

    def _setting(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        name = _plain(said["name"])
        known = {**state.settings, "model": self._runs.model_of(state.id)}
        if name not in known:
            return False, f"{name} is not set; set are {_listed(sorted(known))}"
        value = known[name]
        written = value if isinstance(value, str) else json.dumps(value)
        wanted = _plain(said["text"])
        same = wanted.casefold() in {written.casefold(), str(value).casefold()}
        same = same or (isinstance(value, bool) and wanted.casefold() == ("on" if value else "off"))
        return same, f"{name} is {_short(written)}"

    def _agent(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        name = _plain(said["name"])
        try:
            self._agents.retrieve(name, renamed=False)
        except NotFoundError:
            return False, f"agents are {_listed(sorted(one.name for one in self._agents.list()))}"
        return True, f"{name} is there"

    def _branches(self, state: AgentState, said: re.Match[str]) -> tuple[bool, str]:
        number = len(self._timeline.of(state.id, limit=_MOST).sides)
        return _counted(said, number), f"the timeline has {_number(number, 'branch', 'branches')}"

    def _last(self, state: AgentState) -> WholeRun | None:
        return next(iter(self._runs.whole(state.id, 1)), None)

    def _value(self, state: AgentState, label: str) -> str | None:
        found = {one.label: one.value for one in self._blocks.list(agent=state.id)}
        return found.get(label)

    def _calls(self, state: AgentState) -> list[tuple[str, dict[str, Any], bool]]:
        """Return the calls of the conversation: name, arguments, and whether each went well."""
        every = self._messages.history(state.id, _MOST)
        results = {one.tool_call_id: one.status for one in every if one.role == "tool"}
        return [
            (call.name, call.values or {}, results.get(call.id) == "ok")
            for one in every
            for call in one.tool_calls
        ]


# Whether it holds, None where that of which it speaks is not there; and what was found.
Look = Callable[[Assertions, AgentState, "re.Match[str]"], tuple[bool | None, str]]
_NAME = r"(?P<name>\"[^\"]+\"|'[^']+'|\S+)"
_VERB = r"(?P<verb>contains|lacks|is)"
_COUNT = r"(?P<bound>at least |at most |exactly )?(?P<number>\d+|no|one)"


def _form(shown: str, pattern: str, look: Look) -> tuple[str, re.Pattern[str], Look]:
    return shown, re.compile(pattern, re.IGNORECASE | re.DOTALL), look


_LOOKS: Sequence[tuple[str, re.Pattern[str], Look]] = (
    _form(
        "block LABEL contains TEXT; block LABEL lacks TEXT; block LABEL is TEXT",
        rf"block {_NAME} {_VERB} (?P<text>.+)",
        Assertions._block,
    ),
    _form("block LABEL exists", rf"block {_NAME} exists", Assertions._block_exists),
    _form(
        "block LABEL has at least N versions",
        rf"block {_NAME} has {_COUNT} versions?",
        Assertions._block_versions,
    ),
    _form("archive contains TEXT", r"archive contains (?P<text>.+)", Assertions._archive),
    _form(
        "archive has at least N passages",
        rf"archive has {_COUNT} passages?",
        Assertions._archive_size,
    ),
    _form("history contains TEXT", r"history contains (?P<text>.+)", Assertions._history),
    _form(
        "answer contains TEXT; answer lacks TEXT; answer is TEXT",
        rf"answer {_VERB} (?P<text>.+)",
        Assertions._answer,
    ),
    _form("tool NAME exists", rf"tool {_NAME} exists", Assertions._tool_exists),
    _form(
        "tool NAME was called; tool NAME was called N times with ARGUMENT=VALUE",
        rf"tool {_NAME} was called(?: {_COUNT} times?)?(?: with (?P<arguments>.+))?",
        Assertions._tool_called,
    ),
    _form("tool NAME failed", rf"tool {_NAME} failed", Assertions._tool_failed),
    _form("run ended with REASON", r"run ended with (?P<text>.+)", Assertions._run),
    _form("run had at least N steps", rf"run had {_COUNT} steps?", Assertions._run_steps),
    _form("setting NAME is VALUE", rf"setting {_NAME} is (?P<text>.+)", Assertions._setting),
    _form("agent NAME exists", rf"agent {_NAME} exists", Assertions._agent),
    _form(
        "timeline has at least N branches",
        rf"timeline has {_COUNT} branch(?:es)?",
        Assertions._branches,
    ),
)

FORMS = tuple(form for shown, _, _ in _LOOKS for form in shown.split("; "))
"""Every form. A count is N, no, one, at least N or at most N; ``not`` before a sentence turns it round."""


def understood(assertion: str) -> bool:
    """Return whether a sentence has one of the `FORMS`; whether it holds is not looked at."""
    _, rest = _read(assertion)
    return any(pattern.fullmatch(rest) for _, pattern, _ in _LOOKS)


def _read(assertion: str) -> tuple[str, str]:
    """Return a sentence in one line, and the same without a ``not`` before it."""
    text = _plain(" ".join(assertion.split()))
    return text, re.sub(r"(?i)^not\s+", "", text)


def _unknown(text: str, rest: str) -> str:
    subject = rest.partition(" ")[0].lower()
    near = [form for form in FORMS if form.startswith(f"{subject} ")] or FORMS
    return f"{text!r:.80} cannot be checked. Say one of: {'; '.join(near)} (or not before it)."


def _plain(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _has(text: str, wanted: str) -> bool:
    return same_text(wanted, False) in same_text(text, False)


def _compared(verb: str, text: str, wanted: str) -> bool:
    if verb.lower() == "is":
        return same_text(text, False) == same_text(wanted, False)
    return _has(text, wanted) == (verb.lower() == "contains")


def _counted(said: re.Match[str], number: int) -> bool:
    written = said["number"].lower()
    wanted = int(written) if written.isdigit() else ("no", "one").index(written)
    bound = (said["bound"] or "").strip().lower()
    if bound == "at least":
        return number >= wanted
    return number <= wanted if bound == "at most" else number == wanted


def _arguments(text: str) -> dict[str, str]:
    """Return ``species=puffin, count=3`` as a mapping; quotes hold a value together."""
    try:
        words = shlex.split(text.replace(",", " ") if '"' not in text and "'" not in text else text)
    except ValueError as error:
        raise InvalidInputError(f"The arguments {text!r:.60} cannot be read ({error}).") from None
    pairs = [word.rstrip(",").partition("=") for word in words]
    if bad := [word for word, equals, _ in pairs if not equals or not word]:
        raise InvalidInputError(f"Say arguments as name=value, not {bad[0]!r:.60}.")
    return {name: value for name, _, value in pairs}


def _fits(given: dict[str, Any], wanted: dict[str, str]) -> bool:
    for name, value in wanted.items():
        if name not in given:
            return False
        written = given[name] if isinstance(given[name], str) else json.dumps(given[name])
        if same_text(written, False) != same_text(value, False):
            return False
    return True


def _said(message: Message) -> str:
    """Return what a message says: of an agent also by the tool that answers."""
    if message.role != "assistant":
        return message.content
    return spoken(message.content, [(one.name, one.arguments) for one in message.tool_calls])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= _SHOWN else line[: _SHOWN - 1] + '…'}”"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) or "none"


def _number(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
