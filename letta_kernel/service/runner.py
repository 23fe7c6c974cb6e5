"""Carrying a run from its first word to its end, on the caller's thread, in its turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from letta_kernel import side_effects, waiting
from letta_kernel.agent.agent import LettaAgent, Live
from letta_kernel.agent.beside import SHARE, Ahead, BesideSource, described, lasting
from letta_kernel.agent.context import describe_retrieved
from letta_kernel.agent.decisions import Decision, pending_calls
from letta_kernel.agent.journal import Journal
from letta_kernel.agent.request_record import text_part
from letta_kernel.agent.settings import AgentSettings, Budget
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError
from letta_kernel.ids import now
from letta_kernel.messages import Event, Message, Notice, RunEnded, StepEnded, Usage
from letta_kernel.models import registry
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.pictures.picture import Picture, Thumbnail
from letta_kernel.records import AgentState, Beside, Run
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.asking import AskedBy, Asking
from letta_kernel.service.core import MULTILINGUAL, Core, Memories
from letta_kernel.service.deliveries import Deliveries
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.mcp import McpServers
from letta_kernel.service.preparation import Loaded, Preparation
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.run_options import RunOptions, with_lent
from letta_kernel.service.run_queue import QueuedRun
from letta_kernel.service.skills import Skills
from letta_kernel.service.subagents import Subagents
from letta_kernel.service.tools import Tools
from letta_kernel.service.traces.tracing import Tracing
from letta_kernel.store import agents, conversations, counters, lease, messages, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.request_parts import Part
from letta_kernel.tools.answers import of_format
from letta_kernel.tools.execute import ToolHost

if TYPE_CHECKING:
    from letta_kernel.agent.stops import Stops

log = logging.getLogger("letta_kernel")

_SHARE_RETRIEVED = 16  # one part in so many of a model's window, at most, is for retrieved passages


class Runner:
    """Carries out the runs of this process.

    Attributes
    ----------
    notebook : the notebook whose runs these are, where nothing else says.
    running : what ends each run that goes on here, by the run's id.
    deliveries : lets agents read what others left for them.
    subagents : makes copies of agents that do one task; put in when all it needs is there.
    begins, ended : called with the agent's id before a run, and when it is over, of an agent whose memory
        another one tidies.
    news : asked what has become of such an agent's memory.
    """

    def __init__(
        self,
        core: Core,
        memories: Memories,
        tools: Tools,
        mcp: McpServers,
        preparation: Preparation,
        recordings: Recordings,
        events: EventLog,
        skills: Skills,
        traces: Tracing,
    ) -> None:
        self._core = core
        self._memories = memories
        self._tools = tools
        self._mcp = mcp
        self._preparation = preparation
        self._recordings = recordings
        self._events = events
        self._skills = skills
        self._traces = traces
        self._lock = threading.Lock()
        self._stepping: set[str] = set()  # threads of agents that run in this process
        self.running: dict[str, Cancel] = {}
        self.notebook: str | None = None
        self.deliveries = Deliveries(core, self.answer)
        self.subagents: Subagents
        self.begins: list[Callable[[str], None]] = []
        self.ended: list[Callable[[str], None]] = []
        self.news: list[Callable[[str], Sequence[Notice]]] = []

    def post(self, thread_id: str, text: str) -> bool:
        """Keep an event for a thread whose run goes on in this process; False if none does."""
        with self._lock:  # the run must not end meanwhile, or nobody would look
            if thread_id not in self._stepping:
                return False
            self._core.do(lambda tx: lease.post(tx, thread_id, text))
        return True

    def run(
        self,
        state: AgentState,
        incoming: Sequence[Message],
        decisions: Sequence[Decision] | None,
        options: RunOptions,
    ) -> Iterator[Event]:
        """Yield what happens as *state*'s thread answers *incoming*, or goes on after *decisions*."""
        if model := options.get("model"):
            registry.check_model(model)
        part = options.get("group")
        run = Run(
            agent_id=state.id,
            group_id=part.group_id if part is not None else None,
            conversation_id=state.conversation_id,
            background=options.get("background", False),
            notebook=getattr(options.get("host"), "notebook", None) or self.notebook,
        )
        asked = options.get("asked")
        if asked is not None:
            run.asked_by, run.asked_call = asked.run_id, asked.call_id
        switch, live = options.get("cancel") or Cancel(), options.get("live")
        for message in (*incoming, *options.get("following", ())):
            message.run_id, message.agent_id = run.id, state.id
        recall = incoming[-1].bare if incoming else None

        def tell(event: Event) -> None:
            self._events.add(state.id, run.id, event)
            if live is not None:
                live(event)

        asleep = options.get("asleep")
        news: list[str | Notice] = [] if asleep else [*self._core.news()]
        admission = self._core.admission
        if admission is not None:
            admission.begin(run)
        for begins in self.begins:
            begins(state.id)
        with self._lock:
            self.running[run.id] = switch
        queued: QueuedRun | None = None
        tidied = False
        journal: Journal | None = None
        try:
            while True:
                settings = AgentSettings.model_validate(state.settings)
                chat = self._recordings.open_model(
                    model or state.model, settings, options.get("wrap_model")
                )
                run.model = chat.name
                journal = Journal(self._core.database, state, run, switch.cancel)
                news += self._mcp.news(state.id)
                try:
                    written, loaded = journal.open(
                        incoming,
                        partial(self._read_for, journal, state, settings, chat, incoming, asked),
                    )
                    break
                except AgentBusyError as busy:
                    # A program cannot wait for itself; somebody else's client of it can.
                    wait = options.get("wait")
                    if not wait or not (busy.where or asked or wait == "here"):
                        raise
                    queued = queued or QueuedRun(
                        self._core.database, state, run, recall or "", asked
                    )
                    if not (yield from queued.wait(switch, tell)):
                        return
                    if why := queued.taken_back():
                        tell(refused := queued.refused(why))
                        yield refused
                        return
                # Whoever had the agent may have changed it, and its memory.
                state = self._core.do(partial(self._again, state))
                run.created_at = now()
                for message in incoming:
                    message.created_at = run.created_at
            self._traces.begins(run, incoming)
            loaded.window.add(written)
            if written:
                loaded.window.turn = written[-1]
            lent = with_lent(loaded.tools, options.get("turn_tools", ()))
            loaded.tools = [*lent, *options.get("client_tools", ())]
            loaded.client_skills = options.get("client_skills", ())
            tidied = loaded.tidied
            if asleep:
                loaded.tools = [one for one in loaded.tools if one.name in asleep.tools]
                loaded.skills = []
            for ask in self.news if tidied else ():
                news += ask(state.id)
            with self._lock:
                self._stepping.add(state.thread_id)
            try:
                retrieving = recall if settings.retrieval else None
                agent = self._load(
                    state, settings, chat, journal, options, written, loaded, retrieving, switch
                )
                agent.shown = [Thumbnail.of(one, one.thumbnail) for one in _pictures(incoming)]
                agent.sender = _sender(incoming)
                steps = agent.step(
                    max_steps=options.get("max_steps") or state.max_steps,
                    live=tell,
                    cancel=switch,
                    decisions=decisions,
                )
                with (
                    waiting.request(
                        lambda said: tell(Notice(level="warning", text=said)), part=True
                    ),
                    side_effects.at_work(),
                    closing(steps) as events,
                ):
                    for event in events:
                        if isinstance(event, RunEnded):
                            source = options.get("beside")
                            if event.steps and agent.placed and source is not None:
                                loaded.window.beside[written[-1].id] = lasting(agent.placed)
                                source.went()
                            self._preparation.keep_window(state, chat, loaded.window)
                            self._after_run(state)
                        yield event
                        if isinstance(event, StepEnded) and (more := self._mcp.news(state.id)):
                            news += more
                            agent.calls.renew("mcp", self._tools.list(state.id))
                        while news and not isinstance(event, RunEnded):
                            said = news.pop(0)
                            tell(notice := Notice(text=said) if isinstance(said, str) else said)
                            yield notice
            finally:
                with self._lock:
                    self._stepping.discard(state.thread_id)
                with suppress(LettaError):  # the store refused: what ended the run is told already
                    journal.finish(0, Usage(), "error", "The run could not be started.")
        finally:
            if journal is not None:
                journal.let_go()
            with self._lock:
                self.running.pop(run.id, None)
            self._events.finish(run.id)
            if admission is not None:
                admission.end(run)
            if queued is not None:
                queued.leave()
            self.deliveries.run_ended()
            for over in self.ended if tidied else ():
                over(state.id)

    def answer(
        self,
        state: AgentState,
        message: Message,
        asked: AskedBy,
        *,
        host: ToolHost | None,
        live: Live,
        cancel: Cancel,
    ) -> Iterator[Event]:
        """Let an agent answer another one's message."""
        options = RunOptions(host=host, live=live, cancel=cancel, wait=True, asked=asked)
        return self.run(state, [message], None, options)

    def _again(self, state: AgentState, tx: Tx) -> AgentState:
        return self._core.thread(tx, state.id, state.conversation_id)

    def _read_for(
        self,
        journal: Journal,
        state: AgentState,
        settings: AgentSettings,
        chat: ChatModel,
        incoming: Sequence[Message],
        asked: AskedBy | None,
        tx: Tx,
        head: agents.Head,
    ) -> Loaded:
        run = journal.run
        if asked is not None:
            asked.check(tx, state)
        self._traces.look(tx)
        if settings.autoclear and incoming and not head.waiting:
            own = state.conversation_id is None
            state.window_start = head.seq if own else messages.following(tx, state.id)
            state.summary_id = None
            conversations.move_window(tx, state)
        known = head.seq if state.conversation_id is None else None
        loaded = self._preparation.read(tx, state, settings, chat, known)
        journal.configuration = self._preparation.configuration(tx, state, loaded.blocks)
        newest = self._core.kept(
            tx,
            ("passage number", state.id),
            ("counters",),
            lambda: counters.last(tx, state.id, "passages"),
        )
        journal.know_passages(tx, newest)
        if not incoming:
            if not head.waiting:  # somebody has decided meanwhile
                raise InvalidInputError(f"{state.name} waits for no approval.")
            asking = (m.run_id for m in reversed(loaded.window.messages) if m.role == "assistant")
            run.continues = next(asking, None)
            if run.continues and (before := runs.get(tx, run.continues)) is not None:
                run.group_id = before.group_id
            loaded.window.turn = messages.turn(tx, state.thread)
        if incoming and incoming[-1].role == "event":
            lease.posted_begun(tx, state.thread_id, incoming[-1].content)
        if head.waiting and incoming:
            names = ", ".join(call.name for call in pending_calls(loaded.window.messages))
            raise InvalidInputError(
                f"{state.name} waits for your word on {names}.",
                remedy(Do.DECIDE_CALLS),
                page="approval-waiting",
            )
        return loaded

    def _load(
        self,
        state: AgentState,
        settings: AgentSettings,
        chat: ChatModel,
        journal: Journal,
        options: RunOptions,
        written: Sequence[Message],
        loaded: Loaded,
        recall: str | None,
        cancel: Cancel,
    ) -> LettaAgent:
        notices: list[Notice] = []
        retrieved: list[dict[str, Any]] = []
        considered: list[list[Any]] = []
        if recall is not None and loaded.passages:
            try:
                budget = min(settings.retrieval_budget, chat.context_window // _SHARE_RETRIEVED)
                retrieved, considered = self._preparation.retrieve(state, settings, recall, budget)
            except LettaError as error:  # an embedder that cannot be reached must not stop the turn
                said = f"Nothing retrieved: {error.text}"
                notices.append(Notice(level="warning", text=said, remedies=error.remedies))
        asleep = options.get("asleep")
        if not asleep and (waiting := self._skills.news(loaded.found_skills)):
            said = f"Skills here that are not offered yet: {', '.join(waiting)}."
            notices.append(Notice(text=said, remedies=(remedy(Do.ALLOW_SKILLS),)))
        if recall is not None and options.get("wait") and self._core.offer(recall):
            notices.append(_offer())
        placed: list[Beside] = []
        source = options.get("beside")
        if source is not None and written:
            ahead = self.ahead(state, settings, chat, options.get("model"))
            placed = self._placed(source, ahead, notices)
        texts = [described(placed), describe_retrieved(retrieved) if retrieved else ""]
        beside: dict[str, str] = {}
        if written and any(texts):
            beside[written[-1].id] = "\n\n".join(filter(None, texts))
        note: Part | None = None
        part, asked = options.get("group"), options.get("asked")
        told = (part.note if part is not None else "") or (asked.note if asked is not None else "")
        if written and told:
            note = text_part(told)
            beside[written[0].id] = "\n\n".join(filter(None, (told, beside.get(written[0].id, ""))))
        if part is not None and part.rules:
            state = state.model_copy(update={"tool_rules": [*state.tool_rules, *part.rules]})
        host = options.get("host")
        calls = self._preparation.calls(state, loaded, chat, host)
        asking = Asking(
            self._core,
            state,
            journal.run,
            asked,
            self.answer,
            host,
            self.deliveries.posted,
            self.subagents,
        )
        calls.executor.asker = asking
        if asleep:
            asleep.stage(calls.context, loaded.blocks)
        numbers, cites = self._preparation.cited(state, journal.run.continues)
        self._preparation.see(calls.context, loaded, journal.run.continues)
        calls.context.cites.numbers = numbers | {one["id"]: one["n"] for one in retrieved}
        limit = Budget.of(settings, loaded.spent).within(asked.budget if asked else None)
        limit = limit.within(options.get("budget"))
        prompt: Part | None = None
        if "system" in options:
            system = options["system"]
        else:
            compiled = self._preparation.compiled(state, loaded, journal.run.notebook)
            system, prompt = compiled.text, compiled.part
        agent = LettaAgent(
            state,
            system,
            loaded.window,
            chat,
            calls,
            journal,
            beside=beside or None,
            retrieved=retrieved,
            cites=cites,
            placed=placed,
            params=settings.sampling(),
            notices=notices,
            budget=limit,
            compaction=settings.compaction,
            form=options.get("form") or of_format(settings.response_format),
            following=options.get("following", ()),
            prompt=prompt,
            note=note,
            considered=considered,
            stops=self._stops(options, settings, chat, cancel),
            allowed=self._allowed(journal.run),
        )
        asking.left = agent.left
        return agent

    def _allowed(self, run: Run) -> Callable[[Usage, bool], LettaError | None] | None:
        admission = self._core.admission
        return None if admission is None else partial(admission.took, run)

    def _stops(
        self,
        options: RunOptions,
        settings: AgentSettings,
        chat: ChatModel,
        cancel: Cancel,
    ) -> Stops | None:
        """Return where a run stops for the person in front, if there is one and they want to look."""
        debug = options.get("debug")
        if debug is None or not (debug.stepping or settings.breakpoints):
            return None
        from letta_kernel.service import debugger  # few runs are looked at

        return debugger.stops(debug, settings.breakpoints, cancel, chat.count_tokens)

    def ahead(
        self, state: AgentState, settings: AgentSettings, chat: ChatModel, model: str | None = None
    ) -> Ahead:
        """Return what there is to know before something is placed beside a message for *chat*."""
        goes_to = self._recordings.destinations(model or state.model, settings)
        room = chat.context_window // SHARE
        return Ahead(state, settings, room, chat.count_tokens, goes_to)

    def _placed(self, source: BesideSource, ahead: Ahead, notices: list[Notice]) -> list[Beside]:
        """Return what *source* gives; what goes wrong there must not stop the turn."""
        try:
            placed = source.gather(ahead)
        except Exception as error:
            log.exception("nothing was gathered for %s", ahead.agent.id)
            said = f"Nothing of the notebook is beside the message: {type(error).__name__}."
            notices.append(Notice(level="warning", text=said))
            return []
        notices += [Notice(text=text) for text in source.notes]
        return placed

    def _after_run(self, state: AgentState) -> None:
        """Let the indexes follow, off the turn's path."""
        archive, recall = self._memories.of(state)
        archive.follow()
        recall.follow()


def _sender(incoming: Sequence[Message]) -> str:
    """Return the name of the agent or guest that spoke a message; empty where the owner did."""
    return incoming[-1].speaker if incoming else ""


def _pictures(incoming: Sequence[Message]) -> list[Picture]:
    return incoming[-1].pictures if incoming else []


def _offer() -> Notice:
    """Return the line that offers an embedder for more languages."""
    said = (
        f"Search knows little of languages but English: LETTA_EMBEDDING={MULTILINGUAL} finds more."
    )
    try:
        registry.check_embedding(MULTILINGUAL)
    except LettaError as lacking:
        return Notice(text=said, once=True, remedies=lacking.remedies)
    return Notice(text=said, once=True)
