"""What a run reads before its first step: memory, tools, the history in sight, the compiled prompt.

`report` tells of it part by part, with the tokens each part takes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

from letta_kernel.agent.beside import described, lasting
from letta_kernel.agent.calls import CallRunner
from letta_kernel.agent.context import (
    ContextPart,
    ContextReport,
    compile_blocks,
    joined,
    prompt_pieces,
)
from letta_kernel.agent.request_record import prompt_part
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.agent.window import Window
from letta_kernel.memory import citations
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.memory.folders import describe
from letta_kernel.memory.origins import of_passages
from letta_kernel.models.base import ChatModel
from letta_kernel.models.images import takes_images
from letta_kernel.records import AgentState, Beside, Block, Configuration, Tool
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.skills import FoundSkill, Skills
from letta_kernel.service.tools import Tools
from letta_kernel.store import (
    archives,
    blocks,
    configurations,
    folders,
    messages,
    run_figures,
    runs,
    sleeps,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.request_parts import Part
from letta_kernel.tools import core
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.execute import ToolHost
from letta_kernel.tools.skills import ClientSkill, Skill, section

_MOST_TAGS = 50  # of the archive's that a prompt names
# Of a history that outgrew the model's window no more is read than stays in sight and the summariser is shown.
_READ = 5.0  # characters for each token of the window, at first
_ENOUGH = 1.25  # windows
_CONFIGURED = ("agents", "tools", "agent_tools", "agent_archives", "agent_folders")
_MOST_WEAK = 5  # passages that are kept of those that did not match well enough
KEPT = 32  # agents whose history in sight stays in memory between turns


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled prompt, and what a step keeps of it."""

    text: str
    part: Part


@dataclass(slots=True)
class Loaded:
    """What was read, in one transaction; ``spent`` in US dollars, 0 where no budget asks for it."""

    blocks: list[Block]
    tools: list[Tool]
    window: Window
    passages: int
    files: str  # the section of the prompt on folders and open files, empty for most
    spent: float
    tidied: bool = False  # another agent tidies its memory while it rests
    skills: list[Skill] = field(default_factory=list)  # that are offered
    found_skills: Sequence[FoundSkill] = ()  # that lie there
    client_skills: Sequence[ClientSkill] = ()

    @property
    def about_skills(self) -> str:
        """The section of the prompt on skills; empty where there are none."""
        return section(self.skills, self.client_skills)


class Preparation:
    """Gets agents ready to run; what it read it keeps for their next turns."""

    def __init__(
        self,
        core: Core,
        memories: Memories,
        tools: Tools,
        recordings: Recordings,
        skills: Skills,
    ) -> None:
        self._core = core
        self._memories = memories
        self._tools = tools
        self._recordings = recordings
        self._skills = skills
        self._lock = threading.Lock()
        self._prompts: dict[tuple[str, str], tuple[str, Compiled]] = {}
        self._windows: OrderedDict[str, tuple[tuple[Any, ...], Window]] = OrderedDict()

    def own(self, tx: Tx, state: AgentState) -> list[Tool]:
        """Return the agent's own tools, without those that a turn is lent."""
        return self._tools.of(tx, state)

    def read(
        self,
        tx: Tx,
        state: AgentState,
        settings: AgentSettings,
        chat: ChatModel,
        head: int | None = None,
    ) -> Loaded:
        """Read what a run needs; *head* is the number the next message gets, if that is known."""
        spent = 0.0
        if settings.budget_total:
            spent = (run_figures.cost(tx, agent_id=state.id).cost or 0.0) + run_figures.asked_cost(
                tx, state.id
            )
        skills = self._skills.list()
        return Loaded(
            blocks=self._core.kept(
                tx,
                ("blocks", state.id),
                ("blocks", "agent_blocks"),
                lambda: blocks.of_agent(tx, state.id),
            ),
            tools=self._tools.of(tx, state),
            window=self._window(tx, state, chat, head),
            passages=self._core.kept(
                tx,
                ("passages", state.id),
                ("passages", "agent_archives", "passage_marks", "agents"),
                lambda: archives.passage_count(tx, state.id),
            ),
            files=self._core.kept(
                tx, ("files", state.id), folders.TABLES, lambda: _files(tx, state.id)
            ),
            spent=spent,
            tidied=self._core.kept(
                tx,
                ("tidied", state.id),
                ("groups",),
                lambda: sleeps.sleeper_group(tx, state.id) is not None,
            ),
            skills=self._skills.offered(skills),
            found_skills=skills,
        )

    def configuration(self, tx: Tx, state: AgentState, own: Sequence[Block]) -> str:
        """Return the id of what the agent runs with now, which is kept; no query while nothing has changed."""

        def read() -> tuple[str, Configuration, list[Tool]]:
            found, had = configurations.current(tx, state, own)
            return configurations.name_of(found), found, had

        labels = tuple((block.id, block.label) for block in own)
        key = ("configuration", state.thread_id, state.model, repr(state.settings), labels)
        name, found, had = self._core.kept(tx, key, _CONFIGURED, read)
        self._core.kept(
            tx,
            ("configuration", name),
            ("configurations",),
            lambda: configurations.keep(tx, found, had),
        )
        return name

    def _window(self, tx: Tx, state: AgentState, chat: ChatModel, head: int | None) -> Window:
        """Return the history in sight; what is in memory from the last turn is only added to.

        Messages never change, and the window's beginning moves or the agent is written when any go, so a window
        that begins at the same place holds the same messages.
        """
        key = _place_of(state, chat)
        with self._lock:
            kept = self._windows.pop(state.thread_id, None)
        if kept is not None and kept[0] == key and kept[1].messages:
            window = kept[1]
            if head is None or head > window.newest + 1:
                self._add(tx, window, state, window.newest + 1)
            return window
        summary = messages.get(tx, state.summary_id) if state.summary_id else None
        window = Window([], summary, chat.count_tokens, images=takes_images(chat))
        thread, begin, most = state.thread, state.window_start, _READ * chat.context_window
        while True:
            first = messages.newest(tx, thread, begin, characters=int(most))
            window.messages.clear()
            self._add(tx, window, state, first)
            window.partial = first > begin
            if not window.partial or window.tokens() > _ENOUGH * chat.context_window:
                return window
            most *= 2

    def _add(self, tx: Tx, window: Window, state: AgentState, first: int) -> None:
        """Add the thread's messages from number *first* on, with what stays beside them."""
        found = messages.window(tx, state.thread, first)
        window.add(found)
        began = {m.run_id: m.id for m in found if m.began_run}
        if began:
            owners = {message.agent_id for message in found}
            placed = runs.beside_of(tx, owners, list(filter(None, began)))
            window.beside.update(
                {began[run_id]: lasting(parts) for run_id, parts in placed.items()}
            )

    def keep_window(self, state: AgentState, chat: ChatModel, window: Window) -> None:
        """Keep the history in sight of a thread for its next turn, if all of it was read."""
        if window.partial:
            return
        with self._lock:
            window.turn = None
            self._windows[state.thread_id] = (_place_of(state, chat), window)
            while len(self._windows) > KEPT:
                self._windows.popitem(last=False)

    def _offered(self, state: AgentState, loaded: Loaded) -> dict[str, Tool]:
        offered = {tool.name: tool for tool in loaded.tools}
        for tool in self._skills.tools(state, loaded.skills):
            offered.setdefault(tool.name, tool)
        if state.style == "heartbeat":
            offered.setdefault("send_message", core.record("send_message"))
        return offered

    def prompt(self, state: AgentState, loaded: Loaded, notebook: str | None = None) -> str:
        """Return the text of the compiled prompt."""
        return self.compiled(state, loaded, notebook).text

    def compiled(self, state: AgentState, loaded: Loaded, notebook: str | None = None) -> Compiled:
        """Return the compiled prompt; the same bytes until memory or instructions change.

        *notebook* is where the messages come from: two notebooks have prompts of their own.
        """
        parts = (
            state.instructions,
            state.style,
            [rule.model_dump() for rule in state.tool_rules],
            [
                (b.id, b.label, b.version, b.limit, b.description, b.read_only)
                for b in loaded.blocks
            ],
            state.window_start,
            state.summary_id,
            loaded.files,
            loaded.about_skills,
        )
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        where = (state.thread_id, notebook or "")
        known = self._prompts.get(where)
        if known is None or known[0] != key:
            tags: list[str] = []
            if loaded.passages:
                tags = self._core.do(lambda tx: archives.passage_tags(tx, state.id, _MOST_TAGS))
            pieces = prompt_pieces(
                state,
                loaded.blocks,
                messages=messages_so_far(loaded.window),
                passages=loaded.passages,
                files=loaded.files,
                skills=loaded.about_skills,
                tags=tags,
                notebook=notebook or "",
            )
            prompt = joined(pieces)
            compiled = Compiled(prompt, prompt_part(prompt, pieces, loaded.blocks))
            known = self._prompts[where] = (key, compiled)
        return known[1]

    def calls(
        self, state: AgentState, loaded: Loaded, chat: ChatModel, host: ToolHost | None = None
    ) -> CallRunner:
        """Return what offers and runs the tools of a run with *chat*."""
        executor = self._tools.executor(host, state)
        executor.lent = self._skills.lent(loaded.skills, executor.view)
        return CallRunner(
            agent_id=state.id,
            tools=self._offered(state, loaded),
            executor=executor,
            context=executor.context or self._tools.context(state),
            tool_rules=state.tool_rules,
            style=state.style,
            thinks=chat.supports_reasoning,
        )

    def see(self, context: ToolContext, loaded: Loaded, continues: str | None) -> None:
        """Tell *context* which versions of the blocks the model has in sight.

        Where the run *continues* another, calls that waited come first: the model asked for them when it saw
        what stood as that other run began, and what it wrote itself since.
        """
        now = {block.id: block.version for block in loaded.blocks}

        def work(tx: Tx) -> dict[str, int]:
            run = runs.get(tx, continues) if continues is not None else None
            if run is None:
                return now
            own = [step.id for step in runs.steps_of(tx, run.id)]
            return {key: blocks.seen(tx, key, run.created_at, own) for key in now}

        context.see(now if continues is None else self._core.do(work), now)

    def retrieve(
        self, state: AgentState, settings: AgentSettings, text: str, budget: int
    ) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Return the passages that match *text*, in at most *budget* tokens, as runs record them.

        And what was looked at, as `agent.request_record` says it: all that matched, a few that nearly did.
        """
        hits, looked_at = self._memories.of(state)[0].considered(state.id, text, budget)
        origins = self._core.do(lambda tx: of_passages(tx, [hit.passage for hit in hits]))
        weak = [one.id for one in looked_at if one.relevance < RELEVANT][_MOST_WEAK:]
        considered = [
            [one.id, round(one.relevance, 3), *(round(part, 3) for part in one.parts)]
            for one in looked_at
            if one.id not in weak
        ]
        retrieved: list[dict[str, Any]] = [
            {
                "n": number,
                "id": hit.passage.id,
                **({"joined": list(hit.ids)} if len(hit.ids) > 1 else {}),
                "timestamp": core.local_time(hit.passage.created_at, settings.timezone),
                "content": hit.passage.content,
                **_brief(text, hit.passage.content),
                "score": round(hit.score, 4),
                "origin": origin.source,
            }
            for number, (hit, origin) in enumerate(zip(hits, origins, strict=True), 1)
        ]
        return retrieved, considered

    def cited(
        self, state: AgentState, run_id: str | None
    ) -> tuple[dict[str, int], list[dict[str, Any]]]:
        """Return the numbers that the run which this one goes on from has given, and what is shown of them."""
        if run_id is None:
            return {}, []

        def work(tx: Tx) -> tuple[dict[str, int], list[dict[str, Any]]]:
            found = citations.so_far(tx, run_id)
            numbers = {key: one.n for key, one in found.items()}
            return numbers, citations.shown(tx, found, state.id)

        return self._core.do(work)


def _place_of(state: AgentState, chat: ChatModel) -> tuple[Any, ...]:
    """Return what tells that a window which was kept holds what is in sight now."""
    return state.window_start, state.summary_id, state.updated_at, chat.name


def _brief(query: str, text: str) -> dict[str, str]:
    """Return what is shown of a text that is cited, where that is not the whole text."""
    shown = citations.brief(query, text)
    return {} if shown == text else {"text": shown}


def _files(tx: Tx, agent_id: str) -> str:
    attached = folders.list_all(tx, agent_id=agent_id)
    if not attached:
        return ""
    files = folders.files_seen(tx, agent_id)
    return describe(attached, files, folders.open_files(tx, agent_id))


def messages_so_far(window: Window) -> int:
    """Return how many messages the conversation has had, by the number of the newest."""
    return window.messages[-1].seq if window.messages else 0


def report(
    chat: ChatModel,
    prompt: str,
    loaded: Loaded,
    offered: Sequence[dict[str, Any]],
    beside: Sequence[Beside] = (),
) -> ContextReport:
    """Return what *chat* would be sent: prompt, schemas of tools, summary and the history in sight.

    What a notebook placed beside messages, and *beside* the next, is a part of its own.
    """
    window = loaded.window
    memory = compile_blocks(loaded.blocks)
    schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in offered)
    more = {"files": loaded.files, "skills": loaded.about_skills}
    rest = prompt.replace(memory, "")
    for text in filter(None, more.values()):
        rest = rest.replace(text, "")
    texts = {
        "instructions": rest.strip(),
        "memory blocks": memory,
        **{name: text for name, text in more.items() if text},
        "tools": schemas,
    }
    parts = [
        ContextPart(name, chat.count_tokens(text) if text else 0, text)
        for name, text in texts.items()
    ]
    room = chat.context_window - sum(part.tokens for part in parts)
    window.most = max(1, room // 2)  # as a run does: longer messages are shown shortened
    placed, window.beside = window.beside, {}
    sent = window.chat()
    summary = [sent.pop(0)] if window.summary else []
    for name, size, entries in (
        ("summary", window.size(window.summary) if window.summary else 0, summary),
        ("history", sum(map(window.size, window.messages)), sent),
    ):
        parts.append(ContextPart(name, size, "\n".join(map(_as_sent, entries))))
    window.beside = placed
    if text := _notebook(window, beside):
        parts.append(ContextPart("notebook", chat.count_tokens(text), text))
    return ContextReport(chat.name, chat.context_window, parts)


def _notebook(window: Window, beside: Sequence[Beside]) -> str:
    """Return what stands beside the messages in sight and the next one, each under the message's beginning."""
    texts = [
        f"Beside “{shorten(m.content, 60, placeholder=' …')}”:\n{window.beside[m.id]}"
        for m in window.messages
        if window.beside.get(m.id)
    ]
    if beside:
        texts.append(f"Beside your next message:\n{described(beside)}")
    return "\n\n".join(texts)


def _as_sent(entry: dict[str, Any]) -> str:
    """Return one message of a chat as a line of text, its content just as the model gets it."""
    calls = [call["function"] for call in entry.get("tool_calls", ())]
    said = "".join(f" [calls {call['name']}({call['arguments']})]" for call in calls)
    return f"{entry['role']}: {entry['content'] or ''}{said}"
