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
from dataclasses import dataclass
from typing import Any, cast

from letta_kernel import side_effects, users, waiting
from letta_kernel.errors import InvalidInputError, LettaError
from letta_kernel.hooks import users_code
from letta_kernel.memory.staged import OthersRecall, StagedArchive, StagedMemory
from letta_kernel.messages import Event, Message, Notice
from letta_kernel.models.base import Cancel
from letta_kernel.records import (
    AgentState,
    Block,
    Group,
    Proposal,
    Sleep,
)
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import sleep_agents
from letta_kernel.service.agents import Agents
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.run_options import Asleep
from letta_kernel.service.runner import Runner
from letta_kernel.service.sleep_looks import Begun, Looks
from letta_kernel.service.sleep_review import Changed, Review
from letta_kernel.store import agents, groups, sleeps
from letta_kernel.store.database import Tx
from letta_kernel.tools.context import ToolContext

log = logging.getLogger("letta_kernel")

MOST_EVERY = 1_000
_LOOK = 0.3  # seconds between two looks at whether the person speaks elsewhere
_LEAVES = 5.0  # seconds that closing waits for what goes on
_PAUSE = 10.0  # seconds that it waits at most for a cell of the user's to end


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
        self.review = Review(core, memories)
        self._looks = Looks(core, recordings, self.review)
        self.background = False
        self.quiet = 2.0
        self._lock = threading.Lock()
        self._begun: dict[str, Begun] = {}  # by the id of the agent whose memory it is
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
                if sleep_agents.tidies_another(tx, state.id):
                    raise InvalidInputError(f"{state.name} tidies another agent's memory itself.")
                group = sleep_agents.make(
                    tx, self._agents, state, every or sleep_agents.EVERY, bool(review), model
                )
            else:
                if model is not None:
                    self._agents.update(group.agent_ids[0], model=model)
                if every is not None:
                    group.sleeptime_agent_frequency = every
                if review is not None:
                    group.sleeptime_propose_only = review
                groups.save(tx, group)
            sleep_agents.share_blocks(tx, state.id, group.agent_ids[0])
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
            self._looks.settle(tx, group)
            sleep_agents.part(tx, group, state)
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
                self._looks.settle(tx, group)
            last = next(iter(sleeps.list_all(tx, state.id, 1)), None)
            changed = self.review.changed(tx, last) if last is not None else []
            return Standing(
                group,
                sleeper,
                sleeps.turns(tx, state.id, self._looks.mark(tx, group)),
                bool(sleeps.unfinished(tx, group.id)),
                sleeps.waiting(tx, state.id),
                last,
                list(dict.fromkeys(one.label for one in changed)),
                self._looks.doubt(sleeper),
            )

        return self._core.join(work)

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

    def look(self) -> None:
        """Tidy what is due, also where the process that was to do it has died; who begins first does it."""
        if self.background:
            for agent_id in self._core.do(self._looks.due):
                self.nudge(agent_id)

    def nudge(self, agent_id: str) -> None:
        """Look, in the background and when all is quiet, whether an agent's memory is to be tidied."""
        if not self.background or self._closing.cancelled:
            return
        with self._lock:
            self._due.add(agent_id)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=users.as_owner(self._work), name="sleep-time", daemon=True
                )
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
        begun = self._looks.begin(agent_id, forced)
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
        except BaseException:  # the stop button, where somebody waits for it
            with suppress(LettaError):
                self._looks.ended(begun.sleep, "")
            raise
        finally:
            ending.set()
            with self._lock:
                self._begun.pop(agent_id, None)
        done = self._looks.ended(begun.sleep, problem)
        return done if done is not None and (forced or done.status == "done") else None

    def _run(self, begun: Begun) -> Iterator[Event]:
        sleep, sleeper = begun.sleep, begun.sleeper
        incoming = Message(
            id=sleep.message_id, agent_id=sleeper.id, role="user", content=begun.text
        )
        asleep = Asleep(frozenset(sleep_agents.TOOLS), lambda *given: self._stage(sleep, *given))
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

    def _listen(self, agent_id: str, begun: Begun, ending: threading.Event) -> None:
        """End the look as soon as somebody speaks to the agent in another process, or switches it off."""
        seen: object = None
        while not ending.wait(_LOOK):
            with suppress(LettaError):
                stamp = self._core.database.changed()
                if stamp == seen:
                    continue
                if self._core.do(
                    lambda tx: (
                        sleeps.is_busy(tx, agent_id) or not sleeps.is_open(tx, begun.sleep.id)
                    )
                ):
                    begun.cancel.cancel()
                    return
                seen = stamp

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
            self._looks.settle(tx, group)
            found = sleeps.untold(tx, agent_id)
            sleeps.tell(tx, [one.id for one in found])
            sleeper = agents.get(tx, group.agent_ids[0])
            name = sleeper.name if sleeper is not None else "the sleep-time agent"
            waiting = {one.sleep_id for one in sleeps.waiting(tx, agent_id)}
            decided = [one for one in found if one.review and one.id not in waiting]
            return [self._notice(tx, one, name) for one in found if one not in decided]

        with suppress(LettaError):  # a busy store: another turn will do
            return self._core.join(work)
        return []

    def _notice(self, tx: Tx, sleep: Sleep, name: str) -> Notice:
        if sleep.status == "failed":
            return Notice(
                level="warning", text=f"{name} could not tidy memory: {sleep.note}", once=True
            )
        if sleep.review:
            count = len(sleeps.proposals(tx, sleep.id, ["open"]))
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
