"""Sleep-time agents: while an agent rests, another one tidies its memory, in the background.

Which agent tidies whose memory, and after how many turns, is a group (`Group`, manager type ``sleeptime``). A
look is written down before it begins (`Sleep`); all that it would write are proposals meanwhile, which land in
one commit when its run has come to its end, or wait for a person's word. So nothing is ever half done: one
that is stopped, or whose process is killed, has changed nothing, and is taken up again from where it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from letta_kernel import side_effects, waiting
from letta_kernel.agent import prompts
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError, NotFoundError
from letta_kernel.hooks import users_code
from letta_kernel.ids import new_id
from letta_kernel.memory.staged import OthersRecall, StagedArchive, StagedMemory
from letta_kernel.messages import Event, Message, Notice
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.records import (
    REST,
    SLEEPTIME_OF,
    AgentState,
    Block,
    Group,
    Proposal,
    Sleep,
    ToolRule,
)
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.agents import Agents
from letta_kernel.service.changes import stamp_of
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.run_options import Asleep
from letta_kernel.service.runner import Runner
from letta_kernel.service.sleep_record import ROLES, record_of
from letta_kernel.service.sleep_review import Changed, Review
from letta_kernel.store import agents, blocks, groups, lease, messages, runs, sleeps
from letta_kernel.store.database import Tx
from letta_kernel.tools.context import ToolContext

log = logging.getLogger("letta_kernel")

EVERY = 5
"""Turns after which memory is tidied, unless something else is asked for."""
MOST_EVERY = 1_000
STEPS = 20
"""Model calls that one look may take."""
TOKENS = 100_000
"""Tokens that one look may take; the setting ``budget_tokens`` of the sleep-time agent changes it."""
TOOLS = (
    *("memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"),
    *("archival_memory_insert", "archival_memory_search", "conversation_search"),
)
"""What a sleep-time agent can call: nothing of a notebook's, nothing that would ask a person."""
_LOOK = 0.3  # seconds between two looks at whether the person speaks elsewhere
_SHARE = 3  # one part in so many of the model's window, at most, is the record
_MOST_TOKENS = 30_000  # of a record
_MOST_MESSAGES = 2_000  # of a record
_LEAVES = 5.0  # seconds that closing waits for what goes on
_PAUSE = 10.0  # seconds that it waits at most for a cell of the user's to end
_INHERITED = ("fallbacks", "context_window", "timezone", "tool_calls")
PERSONA = "memory_persona"
"""The block that a sleep-time agent has for itself."""
DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent's sleep-time agent stands; ``turns`` are those since it last looked.

    ``doubt`` says why it will not come to anything now, empty if it will.
    """

    group: Group
    sleeper: AgentState
    turns: int
    running: bool
    waiting: list[Proposal]
    last: Sleep | None
    labels: list[str]  # of the blocks that the last one changed; "" for a passage
    doubt: str = ""


@dataclass(slots=True)
class _Begun:
    """A look that goes on here."""

    sleep: Sleep
    sleeper: AgentState
    text: str
    cancel: Cancel = field(default_factory=Cancel)


class Sleeptime:
    """The sleep-time agents of a project.

    Attributes
    ----------
    background : whether this process lasts and tidies by itself: a kernel or a server. Others leave it to one,
        or to `now`.
    quiet : seconds that nothing must be said to an agent before its memory is tidied.
    review : what they propose, and what they have done.
    """

    def __init__(
        self,
        core: Core,
        memories: Memories,
        agents: Agents,
        runner: Runner,
        recordings: Recordings,
    ) -> None:
        self._core = core
        self._memories = memories
        self._agents = agents
        self._runner = runner
        self._recordings = recordings
        self.review = Review(core, memories)
        self.background = False
        self.quiet = 2.0
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}  # by the id of the agent whose memory it is
        self._due: set[str] = set()
        self._news = threading.Event()
        self._closing = Cancel()
        self._worker: threading.Thread | None = None
        runner.begins.append(self.stop)
        runner.ended.append(self.nudge)
        runner.news.append(self.news)

    # -- which agents have one -----------------------------------------------------------------------

    def enable(
        self,
        agent: str,
        *,
        every: int | None = None,
        review: bool | None = None,
        model: str | None = None,
    ) -> Group:
        """Let another agent tidy the memory of this one; make it where there is none, else change it.

        Parameters
        ----------
        every : turns after which it looks.
        review : whether what it would write waits for a person's word.
        model : what it thinks with; by default what the agent has.

        Raises
        ------
        InvalidInputError
            A number that cannot be, or the agent tidies another one's memory itself.
        NotFoundError
            There is no such agent or model.
        """
        if every is not None and not 1 <= every <= MOST_EVERY:
            raise InvalidInputError(f"every: from 1 to {MOST_EVERY:,} turns, not {every}.")

        def work(tx: Tx) -> Group:
            state = self._core.agent(tx, agent)
            group = sleeps.sleeper_group(tx, state.id)
            if group is None:
                if self._looks_after(tx, state.id):
                    raise InvalidInputError(f"{state.name} tidies another agent's memory itself.")
                group = self._make(tx, state, every or EVERY, bool(review), model)
            else:
                if model is not None:
                    self._agents.update(group.agent_ids[0], model=model)
                if every is not None:
                    group.sleeptime_agent_frequency = every
                if review is not None:
                    group.sleeptime_propose_only = review
                groups.save(tx, group)
            self._sync(tx, state.id, group.agent_ids[0])
            return group

        return self._core.join(work)

    def disable(self, agent: str) -> bool:
        """Tidy an agent's memory no more; False if nobody did. What was written stays, and who wrote it."""
        state = self._core.find_agent(agent)
        self.stop(state.id)

        def work(tx: Tx) -> bool:
            group = sleeps.sleeper_group(tx, state.id)
            if group is None:
                return False
            self._settle(tx, group)
            groups.delete(tx, group.id)
            for sleeper in (agents.get(tx, one) for one in group.agent_ids):
                if sleeper is None:
                    continue
                for block in blocks.of_agent(tx, sleeper.id):
                    if state.id in blocks.agents_with(tx, block.id):
                        blocks.detach(tx, sleeper.id, block.id)
                if sleeper.looks_after == state.id:  # its name is that of versions it wrote
                    agents.save(tx, sleeper.model_copy(update={"set_aside": True}))
            return True

        return self._core.join(work)

    def group_of(self, agent: str) -> Group | None:
        """Return the group by which an agent's memory is tidied; None if it is not."""
        return self._core.do(lambda tx: sleeps.sleeper_group(tx, self._core.agent(tx, agent).id))

    def standing(self, agent: str) -> Standing | None:
        """Return how the one that tidies an agent's memory stands; None if there is none."""

        def work(tx: Tx) -> Standing | None:
            state = self._core.agent(tx, agent)
            group = sleeps.sleeper_group(tx, state.id)
            sleeper = agents.get(tx, group.agent_ids[0]) if group is not None else None
            if group is None or sleeper is None:
                return None
            if not tx.read_only:
                self._settle(tx, group)
            last = next(iter(sleeps.list_all(tx, state.id, 1)), None)
            changed = self.review.changed(tx, last) if last is not None else []
            return Standing(
                group,
                sleeper,
                sleeps.turns(tx, state.id, self._mark(tx, group)),
                bool(sleeps.unfinished(tx, group.id)),
                sleeps.waiting(tx, state.id),
                last,
                list(dict.fromkeys(one.label for one in changed)),
                self._doubt(sleeper),
            )

        return self._core.join(work)

    def _make(
        self, tx: Tx, state: AgentState, every: int, review: bool, model: str | None
    ) -> Group:
        known = [one for one in agents.list_all(tx, set_aside=True) if one.looks_after == state.id]
        if known:
            sleeper = agents.save(tx, known[-1].model_copy(update={"set_aside": False}))
            if model is not None:
                sleeper = self._agents.update(sleeper.id, model=model)
        else:
            sleeper = self._agents.create(
                f"{state.name[:80]}-sleeptime",
                namesakes="keep",
                description=f"Tidies the memory of {state.name} while it rests.",
                model=model or state.model,
                known_models=model is not None,
                embedding=state.embedding,
                instructions=prompts.SLEEPTIME,
                blocks=[
                    Block(
                        label=PERSONA,
                        value=prompts.SLEEPTIME_PERSONA,
                        description=prompts.BLOCK_DESCRIPTIONS[PERSONA],
                        read_only=True,
                    )
                ],
                own_blocks=False,
                core_tools=TOOLS,
                tool_rules=[ToolRule(type="exit_loop", tool_name="memory_finish_edits")],
                max_steps=STEPS,
                settings={
                    "autoclear": True,
                    "retrieval": False,
                    "notebook": "off",
                    "notebook_context": "off",
                    "budget_tokens": TOKENS,
                    **{key: state.settings[key] for key in _INHERITED if key in state.settings},
                },
                metadata={REST: {"agent_type": "sleeptime_agent", SLEEPTIME_OF: state.id}},
            )
        newest = messages.last(tx, state.id)
        return groups.add(
            tx,
            Group(
                description=f"{sleeper.name} tidies the memory of {state.name}.",
                manager_type="sleeptime",
                agent_ids=[sleeper.id],
                manager_agent_id=state.id,
                sleeptime_agent_frequency=every,
                sleeptime_propose_only=review,
                turns_counter=0,
                last_processed_message_id=newest.id if newest else None,
            ),
        )

    @staticmethod
    def _looks_after(tx: Tx, agent_id: str) -> bool:
        found = groups.list_all(tx, manager_type="sleeptime", agent_id=agent_id, hidden=True)
        return any(agent_id in one.agent_ids for one in found)

    @staticmethod
    def _sync(tx: Tx, agent_id: str, sleeper_id: str) -> None:
        """Let the sleep-time agent have the blocks its agent has now, and no longer those it has not."""
        own = {one.id: one for one in blocks.of_agent(tx, agent_id)}
        sleeper, has = agents.get(tx, sleeper_id), {}
        for block in blocks.of_agent(tx, sleeper_id):
            made_here = sleeper is not None and sleeper.looks_after == agent_id
            if made_here and block.id not in own and block.label != PERSONA:
                blocks.detach(tx, sleeper_id, block.id)
                if not blocks.agents_with(tx, block.id):
                    blocks.delete(tx, block.id)
            else:
                has[block.label] = block.id
        for block in own.values():
            if block.label not in has:
                blocks.attach(tx, sleeper_id, block.id)

    # -- when ----------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Tidy in the background from now on: this process lasts."""
        self.background = True

    def resume(self) -> None:
        """Tidy in the background, and look at all whose memory is tidied: some may have been cut off."""
        self.watch()

        def work(tx: Tx) -> list[Group]:
            return groups.list_all(tx, manager_type="sleeptime", hidden=True)

        for group in self._core.do(work):
            self.nudge(group.manager_agent_id or "")

    def nudge(self, agent_id: str) -> None:
        """Look, in the background and when all is quiet, whether an agent's memory is to be tidied."""
        if not self.background or self._closing.cancelled:
            return
        with self._lock:
            self._due.add(agent_id)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="sleep-time", daemon=True)
                self._worker.start()
        self._news.set()

    def stop(self, agent_id: str) -> None:
        """End the look at an agent's memory that goes on here: somebody speaks to it."""
        with self._lock:
            self._due.discard(agent_id)
            begun = self._begun.get(agent_id)
        if begun is not None:
            begun.cancel.cancel()

    def close(self) -> None:
        """End what goes on here; it is taken up again by whoever comes next."""
        self._closing.cancel()
        self._news.set()
        with self._lock:
            going, worker = [*self._begun.values()], self._worker
        for one in going:
            one.cancel.cancel()
        if worker is not None and worker is not threading.current_thread():
            worker.join(_LEAVES)

    def _work(self) -> None:
        while not self._closing.cancelled:
            with self._lock:
                agent_id = next(iter(self._due), None)
                if agent_id is None:
                    self._worker = None
                    return
            self._news.clear()
            if self._closing.wait(self.quiet):
                return
            with self._lock:
                if agent_id not in self._due:  # somebody has spoken meanwhile
                    continue
                self._due.discard(agent_id)
            users_code.pause(_PAUSE)
            try:
                with waiting.request(), side_effects.at_work():
                    if self._once(agent_id, forced=False) and not self._closing.cancelled:
                        with self._lock:  # there may be more than one record holds
                            self._due.add(agent_id)
            except LettaError as error:
                log.info("The memory of %s was not tidied: %s", agent_id, error)
            except Exception:  # nobody is in front who could be told
                log.exception("tidying the memory of %s failed", agent_id)

    def now(self, agent: str, tell: Callable[[Event], None] = lambda event: None) -> Sleep | None:
        """Tidy an agent's memory now, however many turns it had; return how that went, None for nothing new.

        Raises
        ------
        NotFoundError
            Nobody tidies it.
        InvalidInputError
            It waits for a person's word, or its model cannot do it.
        AgentBusyError
            The agent is in the middle of a run, or its memory is being tidied.
        """
        state = self._core.find_agent(agent)
        return self._once(state.id, forced=True, tell=tell)

    def _once(
        self,
        agent_id: str,
        *,
        forced: bool,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> Sleep | None:
        """Tidy an agent's memory if it is time, or *forced*; return what has come to its end."""
        begun = self._begin(agent_id, forced)
        if begun is None:
            return None
        with self._lock:
            self._begun[agent_id] = begun
        if self._closing.cancelled:
            begun.cancel.cancel()
        ending = threading.Event()
        threading.Thread(
            target=self._listen, args=(agent_id, begun, ending), name="sleep-time-stop", daemon=True
        ).start()
        problem = ""
        try:
            with closing(cast(Any, self._run(begun))) as events:
                for event in events:
                    tell(event)
        except LettaError as error:
            problem = error.text
        finally:
            ending.set()
            with self._lock:
                self._begun.pop(agent_id, None)
            with suppress(LettaError):  # the store refused: whoever looks next does it
                self._settle_now(begun.sleep, problem)
        done = self._core.do(lambda tx: sleeps.get(tx, begun.sleep.id))
        return done if done is not None and (forced or done.status == "done") else None

    def _run(self, begun: _Begun) -> Iterator[Event]:
        sleep, sleeper = begun.sleep, begun.sleeper
        incoming = Message(
            id=sleep.message_id, agent_id=sleeper.id, role="user", content=begun.text
        )
        asleep = Asleep(frozenset(TOOLS), lambda *given: self._stage(sleep, *given))
        return self._runner.run(
            sleeper, [incoming], None, {"cancel": begun.cancel, "asleep": asleep}
        )

    def _stage(self, sleep: Sleep, context: ToolContext, seen: Sequence[Block]) -> None:
        """Let core tools reach the memory of the agent that sleeps, and write proposals."""
        database = self._core.database
        context.core = StagedMemory(database, sleep.sleeper_id, sleep.agent_id, sleep.id, seen)
        archive, recall = self._memories.of(self._core.find_agent(sleep.agent_id))
        context.archive = StagedArchive(archive, sleep.agent_id, sleep.id)
        context.recall = OthersRecall(recall, sleep.agent_id)

    def _listen(self, agent_id: str, begun: _Begun, ending: threading.Event) -> None:
        """End the look as soon as somebody speaks to the agent in another process."""
        seen: object = None
        while not ending.wait(_LOOK):
            stamp = stamp_of(self._core.home)
            if stamp == seen:
                continue
            with suppress(LettaError):
                if self._core.do(lambda tx: sleeps.is_busy(tx, agent_id)):
                    begun.cancel.cancel()
                    return
                seen = stamp

    # -- one look ------------------------------------------------------------------------------------

    def _begin(self, agent_id: str, forced: bool) -> _Begun | None:
        """Write down that a look begins, if it is time for one; what keeps a *forced* one is raised."""

        def ready(tx: Tx) -> tuple[AgentState, AgentState] | None:
            found = self._ready(tx, agent_id, forced)
            return None if found is None else found[1:]

        pair = self._core.join(ready)
        if pair is None:
            return None
        sleeper = pair[1]
        if doubt := self._doubt(sleeper):
            if forced:
                raise InvalidInputError(doubt)
            return None
        settings = AgentSettings.model_validate(sleeper.settings)
        try:
            chat = self._recordings.open_model(sleeper.model, settings)
        except LettaError:
            if forced:
                raise
            return self._write(agent_id, forced, None)
        return self._write(agent_id, forced, chat)

    def _write(self, agent_id: str, forced: bool, chat: ChatModel | None) -> _Begun | None:
        def work(tx: Tx) -> _Begun | None:
            found = self._ready(tx, agent_id, forced)
            if found is None:
                return None
            group, state, sleeper = found
            heard = messages.page(
                tx,
                agent_id,
                after=self._mark(tx, group),
                limit=_MOST_MESSAGES,
                roles=ROLES,
                newest_first=False,
            )
            zone = AgentSettings.model_validate(state.settings).timezone
            most = (
                _MOST_TOKENS if chat is None else min(chat.context_window // _SHARE, _MOST_TOKENS)
            )
            count = len if chat is None else chat.count_tokens
            text, last = record_of(heard, state.name, zone, most, count)
            if last is None:
                return None
            self._sync(tx, agent_id, sleeper.id)
            sleep = Sleep(
                group_id=group.id,
                agent_id=agent_id,
                sleeper_id=sleeper.id,
                message_id=new_id("message"),
                upto=last.seq,
                upto_id=last.id,
                review=bool(group.sleeptime_propose_only),
                owner=lease.process_owner(),
            )
            sleeps.add(tx, sleep)
            return _Begun(sleep, sleeper, text)

        return self._core.join(work)

    def _ready(
        self, tx: Tx, agent_id: str, forced: bool
    ) -> tuple[Group, AgentState, AgentState] | None:
        """Return who sleeps and who tidies if it is time for that; what keeps a *forced* one is raised."""
        group = sleeps.sleeper_group(tx, agent_id)
        state = agents.get(tx, agent_id)
        sleeper = agents.get(tx, group.agent_ids[0]) if group is not None else None
        if group is None or state is None or sleeper is None:
            if forced:
                raise NotFoundError("Nobody tidies the memory of this agent.")
            return None
        self._settle(tx, group)
        problem: LettaError | None = None
        if sleeps.is_busy(tx, agent_id):
            problem = AgentBusyError(f"{state.name} is in the middle of a run.")
        elif sleeps.unfinished(tx, group.id) or sleeps.is_busy(tx, sleeper.id):
            problem = AgentBusyError(f"The memory of {state.name} is being tidied.")
        elif count := len(sleeps.waiting(tx, agent_id)):
            wait = "change waits" if count == 1 else "changes wait"
            problem = InvalidInputError(f"{count} {wait} for your word: accept or reject first.")
        if problem is not None:
            if forced:
                raise problem
            return None
        if forced or self._is_time(tx, group):
            return group, state, sleeper
        if (turns := sleeps.turns(tx, agent_id, self._mark(tx, group))) != group.turns_counter:
            group.turns_counter = turns
            groups.save(tx, group)
        return None

    def _is_time(self, tx: Tx, group: Group) -> bool:
        agent_id, every = group.manager_agent_id or "", group.sleeptime_agent_frequency or 1
        since = sleeps.turns(tx, agent_id, self._mark(tx, group))
        last = next(
            (one for one in sleeps.list_all(tx, agent_id, 1) if one.group_id == group.id), None
        )
        if last is not None and last.status == "stopped":
            return since > 0  # it had begun, and is taken up again
        if last is not None and last.status == "failed":
            return sleeps.turns(tx, agent_id, last.upto) >= every
        return since >= every

    @staticmethod
    def _mark(tx: Tx, group: Group) -> int:
        """Return the number of the last message that was looked at."""
        known = group.last_processed_message_id
        found = messages.get(tx, known) if known else None
        return found.seq if found is not None else sleeps.last_upto(tx, group.id)

    def _doubt(self, sleeper: AgentState) -> str:
        """Return why an agent cannot tidy anything; empty if it can."""
        if self._recordings.model_name(sleeper.model) != DEMO:
            return ""
        return (
            "The demo model is no language model and cannot tidy memory: choose another one for "
            f"{sleeper.name}."
        )

    # -- how a look ends -----------------------------------------------------------------------------

    def _settle_now(self, sleep: Sleep, problem: str) -> None:
        def work(tx: Tx) -> None:
            group = groups.get(tx, sleep.group_id)
            if group is not None:
                self._settle(tx, group, ended=sleep.id, problem=problem)

        self._core.join(work)

    def _settle(self, tx: Tx, group: Group, *, ended: str = "", problem: str = "") -> None:
        """Let the looks of a group that are over have their end, once: what they wrote lands, or it is dropped.

        *ended* is one of this process that is over though it may have had no run, by a *problem*.
        """
        for sleep in sleeps.unfinished(tx, group.id):
            run_id = sleeps.run_of(tx, sleep.message_id)
            run = runs.get(tx, run_id) if run_id else None
            if run is None:
                here = any(one.sleep.id == sleep.id for one in self._begun.values())
                if sleep.id != ended and (here or not self._is_over(sleep)):
                    continue
                sleep.status = "failed" if problem else "stopped"
                sleep.note = problem
                self.review.drop(tx, sleep)
                sleeps.end(tx, sleep)
                continue
            if run.status in ("created", "running"):
                continue
            sleep.run_id = run.id
            if run.status == "completed":
                self._finish(tx, group, sleep)
            else:
                killed = lease.is_dead(sleep.owner)
                sleep.status = "stopped" if run.status == "cancelled" or killed else "failed"
                sleep.note = run.error or ""
                self.review.drop(tx, sleep)
            sleeps.end(tx, sleep)

    @staticmethod
    def _is_over(sleep: Sleep) -> bool:
        """Whether the process that wrote a look down, and has no run for it, has none to come."""
        return lease.is_own(sleep.owner) or lease.is_dead(sleep.owner)

    def _finish(self, tx: Tx, group: Group, sleep: Sleep) -> None:
        self.review.give_reasons(tx, sleep)
        said = messages.page(
            tx, sleep.sleeper_id, run_id=sleep.run_id, roles=["assistant"], limit=1
        )
        left: list[str] = []
        if sleep.review:
            changes = self.review.put_up(tx, sleep)
        else:
            changes = len(sleeps.proposals(tx, sleep.id, ["staged"]))
            left = self.review.land(tx, sleep)
        sleep.status, sleep.told = "done", not changes
        sleep.note = " ".join([*left, *(one.content.strip() for one in said)])[:1_000]
        group.last_processed_message_id = sleep.upto_id
        group.turns_counter = sleeps.turns(tx, sleep.agent_id, sleep.upto)
        groups.save(tx, group)

    # -- what is said of it --------------------------------------------------------------------------

    def last_changes(self, agent: str) -> list[Changed]:
        """Return what the last look has changed; empty where nothing was, or it was taken back."""

        def work(tx: Tx) -> list[Changed]:
            last = next(iter(sleeps.list_all(tx, self._core.agent(tx, agent).id, 1)), None)
            return (
                self.review.changed(tx, last) if last is not None and last.status == "done" else []
            )

        return self._core.do(work)

    def untold(self) -> tuple[int, int]:
        """Return how many changes are proposed in the project, and of how many agents nobody knows the news."""
        return self._core.do(sleeps.news)

    def told(self, agent: str) -> None:
        """Take note that the person knows what has become of an agent's memory."""

        def work(tx: Tx) -> None:
            found = sleeps.untold(tx, self._core.agent(tx, agent).id)
            sleeps.tell(tx, [one.id for one in found])

        self._core.do(work)

    def news(self, agent_id: str) -> list[Notice]:
        """Return what has become of an agent's memory since it was last talked to, once."""

        def work(tx: Tx) -> list[Notice]:
            group = sleeps.sleeper_group(tx, agent_id)
            if group is None:
                return []
            self._settle(tx, group)
            found = sleeps.untold(tx, agent_id)
            sleeps.tell(tx, [one.id for one in found])
            sleeper = agents.get(tx, group.agent_ids[0])
            name = sleeper.name if sleeper is not None else "the sleep-time agent"
            return [self._notice(tx, one, name) for one in found]

        with suppress(LettaError):  # a busy store: another turn will do
            return self._core.join(work)
        return []

    def _notice(self, tx: Tx, sleep: Sleep, name: str) -> Notice:
        if sleep.status == "failed":
            return Notice(
                level="warning", text=f"{name} could not tidy memory: {sleep.note}", once=True
            )
        if sleep.review:
            count = len(sleeps.proposals(tx, sleep.id))
            text = f"{name} proposes {count} {'change' if count == 1 else 'changes'} of memory."
            return Notice(text=text, remedies=(remedy(Do.REVIEW_MEMORY),), once=True)
        changed = dict.fromkeys(
            one.label or "the archive" for one in self.review.changed(tx, sleep)
        )
        said = ", ".join(changed) or "nothing after all"
        note = f" {sleep.note}" if sleeps.proposals(tx, sleep.id, ["conflict"]) else ""
        return Notice(
            text=f"{name} tidied {said}.{note}", remedies=(remedy(Do.UNDO_SLEEP),), once=True
        )
