"""Talking to agents: a run from its first word to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Literal

from letta_kernel import manners
from letta_kernel.agent.agent import LettaAgent, Live
from letta_kernel.agent.budget import Budget
from letta_kernel.agent.compaction import Compactor
from letta_kernel.agent.context import describe_retrieved
from letta_kernel.agent.decisions import Decision, pending_calls
from letta_kernel.agent.journal import Journal
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError
from letta_kernel.ids import now
from letta_kernel.messages import Event, Message, Notice, RunEnded, StepEnded, ToolCall, Usage
from letta_kernel.models import naming
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.records import AgentState, Run, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.loading import Loaded
from letta_kernel.service.looking import Looking
from letta_kernel.service.waiting import Place
from letta_kernel.store import agents, conversations, messages
from letta_kernel.store.database import Tx
from letta_kernel.tools import core
from letta_kernel.tools.execute import ToolHost

MAX_MESSAGE = 1_000_000  # characters
_SHARE_RETRIEVED = 16  # one part in so many of a model's window, at most, is for retrieved passages


class Turns(Looking):
    """The part of the service that runs agents."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: dict[str, Cancel] = {}
        self._stepping: set[str] = set()  # threads of agents that run in this process
        self._posted: dict[str, deque[str]] = {}  # what they are told once they have ended
        self.events = EventLog()  # of all runs in this process

    # -- running -------------------------------------------------------------------------------------

    def send(
        self,
        ref: str,
        text: str,
        *,
        role: Literal["user", "event"] = "user",
        conversation: str | None = None,
        max_steps: int | None = None,
        model: str | None = None,
        host: ToolHost | None = None,
        live: Live | None = None,
        cancel: Cancel | None = None,
        earlier: Sequence[Message] = (),
        client_tools: Sequence[Tool] = (),
        wait: bool = False,
    ) -> Iterator[Event]:
        """Send a message (or a system event) to an agent and yield what happens until its turn ends.

        Parameters
        ----------
        conversation : the id of the conversation it belongs to; None for the agent's own thread.
        max_steps, model : for this run only.
        host : where functions of a notebook live; without one they run from source in the sandbox.
        live : is called with every event at once, also while a tool holds this thread.
        cancel : ends the run from another thread.
        earlier : messages to put into the history before this one, unanswered.
        client_tools : tools for this run alone, which whoever sends runs: their calls wait as for
            approval, and `approve` brings the results.
        wait : while the agent runs in another process, wait for its end (`RunQueued`) instead of raising.

        Raises
        ------
        InvalidInputError
            The message is empty or far too long, or the agent waits for an approval. Nothing is changed.
        AgentBusyError
            Another run of this agent is going on: with *wait*, in this process.
        """
        if not text.strip():
            raise InvalidInputError("There is nothing to send: the message is empty.")
        if len(text) > MAX_MESSAGE:
            raise InvalidInputError(
                f"A message may have {MAX_MESSAGE:,} characters; this has {len(text):,}. Put long texts "
                "into archival memory."
            )
        state = self.do(lambda tx: self._thread(tx, ref, conversation))
        incoming = Message(agent_id=state.id, role=role, content=text)
        return self._run(
            state,
            [*earlier, incoming],
            None,
            max_steps,
            model,
            host,
            live,
            cancel,
            client_tools,
            wait,
        )

    def post_event(self, ref: str, text: str) -> bool:
        """Keep an event for an agent that is running in this process; False if it is not.

        Whoever shows the run sends it on when the run has ended: see `next_event`.
        """
        state = self.agent(ref)
        if not text.strip():
            raise InvalidInputError("There is nothing to send: the event is empty.")
        with self._lock:
            if state.id not in self._stepping:
                return False
            self._posted.setdefault(state.id, deque()).append(text)
        return True

    def next_event(self, ref: str) -> str | None:
        """Take the oldest event that was kept; None if there is none or it cannot be sent yet."""
        if not self._posted:
            return None
        state, waiting = self.do(lambda tx: self._standing(tx, ref))
        with self._lock:
            kept = self._posted.get(state.id)
            if not kept or waiting or state.id in self._stepping:
                return None
            text = kept.popleft()
            if not kept:
                del self._posted[state.id]
        return text

    def approve(
        self,
        ref: str,
        decisions: Sequence[Decision],
        *,
        conversation: str | None = None,
        max_steps: int | None = None,
        model: str | None = None,
        host: ToolHost | None = None,
        live: Live | None = None,
        cancel: Cancel | None = None,
        client_tools: Sequence[Tool] = (),
        wait: bool = False,
    ) -> Iterator[Event]:
        """Go on where a run stopped for approval; calls without a decision count as denied."""
        state, waiting = self.do(lambda tx: self._standing(tx, ref, conversation))
        if not waiting:
            raise InvalidInputError(f"{state.name} waits for no approval.")
        known = {call.id for call in waiting}
        for decision in decisions:
            if decision.call_id not in known:
                raise InvalidInputError(
                    f"{state.name} does not wait for a call {decision.call_id!r}; it waits for: "
                    f"{', '.join(sorted(known))}."
                )
        decided = {d.call_id for d in decisions}
        complete = [*decisions, *(Decision(c, approve=False) for c in known - decided)]
        return self._run(
            state, [], complete, max_steps, model, host, live, cancel, client_tools, wait
        )

    def pending(self, ref: str, conversation: str | None = None) -> list[ToolCall]:
        """Return the calls that wait for a person's approval; empty if none do."""
        return self.do(lambda tx: self._standing(tx, ref, conversation))[1]

    def _standing(
        self, tx: Tx, ref: str, conversation: str | None = None
    ) -> tuple[AgentState, list[ToolCall]]:
        state = self._thread(tx, ref, conversation)
        if not agents.is_waiting(tx, state.thread_id):
            return state, []
        seen = messages.window(tx, state.id, state.window_start, state.thread)
        return state, pending_calls(seen)

    def cancel(self, run_id: str) -> bool:
        """End a run of this process at once; False if it is not running here."""
        switch = self._running.get(run_id)
        if switch is None:
            return False
        switch.cancel()
        return True

    def _run(
        self,
        state: AgentState,
        incoming: Sequence[Message],
        decisions: Sequence[Decision] | None,
        max_steps: int | None,
        model: str | None,
        host: ToolHost | None,
        live: Live | None,
        cancel: Cancel | None,
        client_tools: Sequence[Tool] = (),
        wait: bool = False,
    ) -> Iterator[Event]:
        if model:
            naming.check_model(model)
        run = Run(
            agent_id=state.id,
            conversation_id=None if state.thread == "own" else state.thread_id,
            notebook=getattr(host, "notebook", None) or self.notebook,
        )
        switch = cancel or Cancel()
        for message in incoming:
            message.run_id = run.id
        recall = incoming[-1].content if incoming else None

        def tell(event: Event) -> None:
            self.events.add(state.id, run.id, event)
            if live is not None:
                live(event)

        news: list[str] = []
        with self._lock:
            self._running[run.id] = switch
        place: Place | None = None
        try:
            while True:
                settings = AgentSettings.model_validate(state.settings)
                chat = self._open_model(state, settings, model)
                run.model = chat.name
                journal = Journal(self.database, state, run)
                news += self.tool_news(state.id)
                try:
                    written, loaded = journal.open(
                        incoming,
                        partial(self._read_for, run, state, settings, chat, incoming),
                    )
                    break
                except AgentBusyError as busy:
                    if not wait or not busy.where:
                        raise
                    place = place or Place(self.database, state, run, recall or "")
                    if not (yield from place.wait(switch, tell)):
                        return
                # Whoever had the agent may have changed it, and its memory.
                state = self.do(partial(self._again, state))
                run.created_at = now()
                for message in incoming:
                    message.created_at = run.created_at
            loaded.window.add(written)
            loaded.tools = [*loaded.tools, *client_tools]
            with self._lock:
                self._stepping.add(state.thread_id)
            try:
                retrieving = recall if settings.retrieval else None
                agent = self._load(
                    state, settings, chat, journal, host, written, loaded, retrieving
                )
                steps = agent.step(
                    max_steps=max_steps or state.max_steps,
                    live=tell,
                    cancel=switch,
                    decisions=decisions,
                )
                with manners.at_work(), closing(steps) as events:
                    for event in events:
                        if isinstance(event, RunEnded):
                            self._keep_window(state, chat, loaded.window)
                            self._after_run(state)
                        yield event
                        if isinstance(event, StepEnded) and (more := self.tool_news(state.id)):
                            news += more
                            agent.calls.renew("mcp", self.tools(state.id))
                        while news and not isinstance(event, RunEnded):
                            tell(notice := Notice(text=news.pop(0)))
                            yield notice
            finally:
                with self._lock:
                    self._stepping.discard(state.thread_id)
                journal.finish(0, Usage(), "error", "The run could not be started.")
        finally:
            with self._lock:
                self._running.pop(run.id, None)
            self.events.finish(run.id)
            if place is not None:
                place.leave()

    def _again(self, state: AgentState, tx: Tx) -> AgentState:
        return self._thread(tx, state.id, None if state.thread == "own" else state.thread_id)

    def _read_for(
        self,
        run: Run,
        state: AgentState,
        settings: AgentSettings,
        chat: ChatModel,
        incoming: Sequence[Message],
        tx: Tx,
        head: agents.Head,
    ) -> Loaded:
        known = head.seq if state.thread == "own" else None
        loaded = self._read(tx, state, settings, chat, known)
        if not incoming:
            if not head.waiting:  # somebody has decided meanwhile
                raise InvalidInputError(f"{state.name} waits for no approval.")
            asking = (m.run_id for m in reversed(loaded.window.messages) if m.role == "assistant")
            run.continues = next(asking, None)
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
        host: ToolHost | None,
        written: Sequence[Message],
        loaded: Loaded,
        recall: str | None,
    ) -> LettaAgent:
        notices: list[Notice] = []
        retrieved: list[dict[str, Any]] = []
        if recall is not None and loaded.passages:
            try:
                budget = min(settings.retrieval_budget, chat.context_window // _SHARE_RETRIEVED)
                retrieved = self._retrieve(state, settings, recall, budget)
            except LettaError as error:  # an embedder that cannot be reached must not stop the turn
                said = f"Nothing retrieved: {error.text}"
                notices.append(Notice(level="warning", text=said, remedies=error.remedies))
        calls = self._calls(state, loaded, chat, host)
        beside = {written[-1].id: describe_retrieved(retrieved)} if retrieved else None
        return LettaAgent(
            state,
            self._prompt(state, loaded),
            loaded.window,
            chat,
            calls,
            journal,
            beside=beside,
            retrieved=retrieved,
            params=settings.sampling(),
            notices=notices,
            budget=Budget.of(settings, loaded.spent),
            compaction=settings.compaction,
        )

    def _retrieve(
        self, state: AgentState, settings: AgentSettings, text: str, budget: int
    ) -> list[dict[str, Any]]:
        """Return the passages that match *text*, in at most *budget* tokens, as runs record them."""
        archive = self._memory_of(state)[0]
        return [
            {
                "id": hit.passage.id,
                "timestamp": core.local_time(hit.passage.created_at, settings.timezone),
                "content": hit.passage.content,
                "score": round(hit.score, 4),
            }
            for hit in archive.relevant(state.id, text, budget)
        ]

    def _after_run(self, state: AgentState) -> None:
        """Let the indexes follow, off the turn's path."""
        archive, recall = self._memory_of(state)
        archive.follow(state.id)
        recall.follow(state.id)

    def compact(self, ref: str, conversation: str | None = None) -> Message | None:
        """Summarise the conversation now instead of when the window is full; None if it is too short.

        Raises
        ------
        AgentBusyError
            A run of the agent is going on.
        """
        state = self.do(lambda tx: self._thread(tx, ref, conversation))
        settings = AgentSettings.model_validate(state.settings)
        chat = self._open_model(state, settings)
        loaded = self.do(lambda tx: self._read(tx, state, settings, chat))
        compactor = Compactor(chat, settings.compaction, self._prompt(state, loaded))
        count = compactor.cut(loaded.window, loaded.window.tokens() // 2)
        if count == 0:
            return None
        made = compactor.compact(loaded.window, count, Cancel(), agent_id=state.id, run_id=None)
        state.window_start, state.summary_id = loaded.window.messages[0].seq, made.summary.id
        own = None if state.thread == "own" else state.thread_id

        def work(tx: Tx) -> Message:
            agents.check_idle(tx, state.thread_id)
            conversations.move_window(tx, state)
            return messages.append(tx, state.id, [made.summary], conversation_id=own)[0]

        return self.do(work)
