"""Carrying a run from its first word to its end, on the caller's thread, in its turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, TypedDict

from letta_kernel import side_effects, waiting
from letta_kernel.agent.agent import LettaAgent, Live
from letta_kernel.agent.beside import SHARE, Ahead, BesideSource, described, lasting
from letta_kernel.agent.context import describe_retrieved
from letta_kernel.agent.decisions import Decision, pending_calls
from letta_kernel.agent.journal import Journal
from letta_kernel.agent.settings import AgentSettings, Budget
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError
from letta_kernel.ids import now
from letta_kernel.messages import Event, Message, Notice, RunEnded, RunQueued, StepEnded, Usage
from letta_kernel.models import registry
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.pictures.picture import Picture, Thumbnail
from letta_kernel.records import AgentState, Beside, Run, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.asking import AskedBy, Asking
from letta_kernel.service.core import MULTILINGUAL, Core, Memories
from letta_kernel.service.deliveries import Deliveries
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.mcp import McpServers
from letta_kernel.service.preparation import Loaded, Preparation
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.skills import Skills
from letta_kernel.service.tools import Tools
from letta_kernel.store import agents, conversations, lease, messages
from letta_kernel.store.database import Database, Tx
from letta_kernel.tools.answers import AnswerForm, of_format
from letta_kernel.tools.execute import ToolHost
from letta_kernel.tools.skills import ClientSkill

log = logging.getLogger("letta_kernel")

_LOOK = 0.5  # seconds between two looks at the store
_SLICE = 0.1  # seconds of a pause that a stop button may have to wait

Tell = Callable[[Event], None]


_SHARE_RETRIEVED = 16  # one part in so many of a model's window, at most, is for retrieved passages


class RunOptions(TypedDict, total=False):
    """How one run is carried out.

    Attributes
    ----------
    max_steps, model : for this run only.
    host : where functions of a notebook live; without one they run from source in the sandbox.
    live : is called with every event at once, also while a tool holds this thread.
    cancel : ends the run from another thread.
    client_tools : tools for this run alone, which whoever sends runs: their calls wait as for
        approval, and `Runs.approve` brings the results.
    turn_tools : tools for this run alone, which *host* has the functions of; the agent's own go before
        them.
    wait : while the agent runs in another process, wait for its end (`RunQueued`) instead of raising.
    form : what the answer must be (`letta_kernel.tools.answers`); else what the agent's settings say.
    client_skills : skills on the machine of whoever sends, which the model reads by that one's own tools.
    beside : gives what a notebook places beside the message; nothing is placed there without it.
    following : messages that came with decisions, for the same turn: they stand behind the results.
    asked : the call of another agent that asked for it; then it waits for runs of this process, too.
    """

    max_steps: int | None
    model: str | None
    host: ToolHost | None
    live: Live | None
    cancel: Cancel | None
    client_tools: Sequence[Tool]
    turn_tools: Sequence[Tool]
    wait: bool
    form: AnswerForm | None
    client_skills: Sequence[ClientSkill]
    beside: BesideSource | None
    following: Sequence[Message]
    asked: AskedBy | None


def checked(options: RunOptions) -> RunOptions:
    """Return *options* if there are no others among them; `TypeError` as for any call."""
    for name in options.keys() - RunOptions.__annotations__.keys():
        raise TypeError(f"a run has no option {name!r}")
    return options


def with_lent(own: Sequence[Tool], lent: Sequence[Tool]) -> list[Tool]:
    """Return an agent's *own* tools and those *lent* for a turn; its own go before others of their names."""
    names = {tool.name for tool in own}
    return [*own, *(tool for tool in lent if tool.name not in names)]


class Runner:
    """Carries out the runs of this process.

    Attributes
    ----------
    notebook : the notebook whose runs these are, where nothing else says.
    running : what ends each run that goes on here, by the run's id.
    deliveries : lets agents read what others left for them.
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
    ) -> None:
        self._core = core
        self._memories = memories
        self._tools = tools
        self._mcp = mcp
        self._preparation = preparation
        self._recordings = recordings
        self._events = events
        self._skills = skills
        self._lock = threading.Lock()
        self._stepping: set[str] = set()  # threads of agents that run in this process
        self.running: dict[str, Cancel] = {}
        self.notebook: str | None = None
        self.deliveries = Deliveries(core, self.answer)

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
        run = Run(
            agent_id=state.id,
            conversation_id=None if state.thread == "own" else state.thread_id,
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

        news = self._core.news()
        with self._lock:
            self.running[run.id] = switch
        place: Place | None = None
        journal: Journal | None = None
        try:
            while True:
                settings = AgentSettings.model_validate(state.settings)
                chat = self._recordings.open_model(model or state.model, settings)
                run.model = chat.name
                journal = Journal(self._core.database, state, run, switch.cancel)
                news += self._mcp.news(state.id)
                try:
                    written, loaded = journal.open(
                        incoming,
                        partial(self._read_for, run, state, settings, chat, incoming, asked),
                    )
                    break
                except AgentBusyError as busy:
                    if not options.get("wait") or not (busy.where or asked):
                        raise
                    place = place or Place(self._core.database, state, run, recall or "", asked)
                    if not (yield from place.wait(switch, tell)):
                        return
                # Whoever had the agent may have changed it, and its memory.
                state = self._core.do(partial(self._again, state))
                run.created_at = now()
                for message in incoming:
                    message.created_at = run.created_at
            loaded.window.add(written)
            if written:
                loaded.window.turn = written[-1]
            lent = with_lent(loaded.tools, options.get("turn_tools", ()))
            loaded.tools = [*lent, *options.get("client_tools", ())]
            loaded.client_skills = options.get("client_skills", ())
            with self._lock:
                self._stepping.add(state.thread_id)
            try:
                retrieving = recall if settings.retrieval else None
                agent = self._load(
                    state, settings, chat, journal, options, written, loaded, retrieving
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
                            tell(notice := Notice(text=news.pop(0)))
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
            if place is not None:
                place.leave()
            self.deliveries.run_ended()

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
        return self._core.thread(tx, state.id, None if state.thread == "own" else state.thread_id)

    def _read_for(
        self,
        run: Run,
        state: AgentState,
        settings: AgentSettings,
        chat: ChatModel,
        incoming: Sequence[Message],
        asked: AskedBy | None,
        tx: Tx,
        head: agents.Head,
    ) -> Loaded:
        if asked is not None:
            asked.check(tx, state)
        if settings.autoclear and incoming and not head.waiting:
            last = messages.last(tx, state.id)
            state.window_start, state.summary_id = last.seq + 1 if last else 0, None
            conversations.move_window(tx, state)
        known = head.seq if state.thread == "own" else None
        loaded = self._preparation.read(tx, state, settings, chat, known)
        if not incoming:
            if not head.waiting:  # somebody has decided meanwhile
                raise InvalidInputError(f"{state.name} waits for no approval.")
            asking = (m.run_id for m in reversed(loaded.window.messages) if m.role == "assistant")
            run.continues = next(asking, None)
            loaded.window.turn = messages.turn(tx, state.id, state.thread)
        if incoming and incoming[-1].role == "event":
            lease.posted_begun(tx, state.thread_id, incoming[-1].content)
        if head.waiting and incoming:
            names = ", ".join(call.name for call in pending_calls(loaded.window.messages))
            raise InvalidInputError(
                f"{state.name} waits for your word on {names}.", remedy(Do.DECIDE_CALLS)
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
    ) -> LettaAgent:
        notices: list[Notice] = []
        retrieved: list[dict[str, Any]] = []
        if recall is not None and loaded.passages:
            try:
                budget = min(settings.retrieval_budget, chat.context_window // _SHARE_RETRIEVED)
                retrieved = self._preparation.retrieve(state, settings, recall, budget)
            except LettaError as error:  # an embedder that cannot be reached must not stop the turn
                said = f"Nothing retrieved: {error.text}"
                notices.append(Notice(level="warning", text=said, remedies=error.remedies))
        if waiting := self._skills.news():
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
        beside = "\n\n".join(filter(None, texts))
        host, asked = options.get("host"), options.get("asked")
        calls = self._preparation.calls(state, loaded, chat, host)
        asking = Asking(
            self._core, state, journal.run, asked, self.answer, host, self.deliveries.posted
        )
        calls.executor.asker = asking
        numbers, cites = self._preparation.cited(journal.run.continues)
        self._preparation.see(calls.context, loaded, journal.run.continues)
        calls.context.cites.numbers = numbers | {one["id"]: one["n"] for one in retrieved}
        limit = Budget.of(settings, loaded.spent).within(asked.budget if asked else None)
        agent = LettaAgent(
            state,
            self._preparation.prompt(state, loaded, journal.run.notebook),
            loaded.window,
            chat,
            calls,
            journal,
            beside={written[-1].id: beside} if beside else None,
            retrieved=retrieved,
            cites=cites,
            placed=placed,
            params=settings.sampling(),
            notices=notices,
            budget=limit,
            compaction=settings.compaction,
            form=options.get("form") or of_format(settings.response_format),
            following=options.get("following", ()),
        )
        asking.left = agent.left
        return agent

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


class Place:
    """The place of one run in the line for its agent; *said* is what it is to say, *asked* for whom."""

    def __init__(
        self, database: Database, state: AgentState, run: Run, said: str, asked: AskedBy | None
    ) -> None:
        self._database = database
        self._state = state
        self._thread_id = state.thread_id
        self._run = run
        self._said = said
        self._asked = asked
        self._owner = f"{lease.process_owner()}/{run.id}"
        self._renewed = float("-inf")

    def wait(self, cancel: Cancel, tell: Tell) -> Generator[Event, None, bool]:
        """Yield who is waited for, until it is this run's turn; False if it was stopped before."""
        where: str | None = None
        try:
            while (busy := self._look()) is not None:
                if busy.where != where:
                    where = busy.where
                    queued = self._queued(where)
                    tell(queued)
                    yield queued
                for _ in range(round(_LOOK / _SLICE)):
                    if cancel.wait(_SLICE):
                        for event in self._stopped(where):
                            tell(event)
                            yield event
                        return False
            return True
        except (KeyboardInterrupt, GeneratorExit):
            for event in self._stopped(where):
                tell(event)
            raise

    def leave(self) -> None:
        """Give the place up, if it is still taken."""
        with suppress(LettaError):  # the line forgets who does not come back
            self._database.run(lambda tx: lease.leave(tx, self._thread_id, self._owner))

    def _look(self) -> AgentBusyError | None:
        """Keep the place, and return who comes before this run."""
        renew = time.monotonic() - self._renewed > lease.RENEWED

        def work(tx: Tx) -> AgentBusyError | None:
            if renew:
                askers = self._asked.waiting if self._asked is not None else ()
                if askers and lease.waits_for(tx, self._thread_id, askers):
                    raise InvalidInputError(
                        f"{self._state.name} waits for your answer itself: answer with what you know."
                    )
                lease.stand(tx, self._thread_id, self._owner, self._run.notebook, askers)
            try:
                agents.check_free(tx, self._thread_id, self._owner)
            except AgentBusyError as busy:
                return busy
            return None

        found = self._database.run(work)
        if renew:
            self._renewed = time.monotonic()
        return found

    def _queued(self, where: str) -> RunQueued:
        state = self._state
        text = f"{state.name} is busy in {where or 'this program'}; this goes on when it is free."
        if self._run.notebook and where == f"the notebook {self._run.notebook!r}":
            text = f"{state.name} is busy in another kernel of this notebook; this goes on when it is free."
        return RunQueued(
            run_id=self._run.id,
            agent_id=state.id,
            agent_name=state.name,
            conversation=self._run.conversation_id,
            said=self._said,
            where=where,
            text=text,
        )

    def _stopped(self, where: str | None) -> tuple[Notice, RunEnded]:
        ended = RunEnded(
            run_id=self._run.id,
            stop_reason="cancelled",
            steps=0,
            usage=Usage(),
            seconds=0.0,
            model=self._run.model,
        )
        return Notice(text=f"Stopped waiting for {where or 'its turn'}: nothing was sent."), ended


def _sender(incoming: Sequence[Message]) -> str:
    """Return the name of the agent that spoke a message; empty where a person did."""
    said = incoming[-1] if incoming else None
    return (said.name or said.sender_id) if said is not None and said.sender_id else ""


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
