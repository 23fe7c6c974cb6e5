"""The looks of sleep-time agents at what was said: when one is due, how it is written down, how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.records import AgentState, Group, Sleep
from letta_kernel.service.core import Core
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.sleep_agents import share_blocks
from letta_kernel.service.sleep_record import ROLES, record_of
from letta_kernel.service.sleep_review import Review
from letta_kernel.store import agents, groups, lease, messages, runs, sleeps
from letta_kernel.store.database import Tx
from letta_kernel.store.said import of_agent as threads_of

_SHARE = 3  # one part in so many of the model's window, at most, is the record
_MOST_TOKENS = 30_000  # of a record
_MOST_MESSAGES = 2_000  # of a record
_DEMO = "demo"


_STOPS = 3  # looks that were stopped one after the other, and begun again at once
_LATE = timedelta(minutes=2)  # after which one has no run to come, if nobody can see its process

_here: set[str] = set()
"""Ids of the looks that go on in this process, whichever service of it began them."""


@dataclass(slots=True)
class Begun:
    """A look that goes on in this process: its run begins with ``text``."""

    sleep: Sleep
    sleeper: AgentState
    text: str
    cancel: Cancel = field(default_factory=Cancel)


class Looks:
    """The looks of a project's sleep-time agents.

    Methods that take a transaction are called in one that what they do in turn joins (`Core.join`).
    """

    def __init__(self, core: Core, recordings: Recordings, review: Review) -> None:
        self._core = core
        self._recordings = recordings
        self._review = review

    def begin(self, agent_id: str, forced: bool) -> Begun | None:
        """Write down that a look begins, if it is time for one; what keeps a *forced* one is raised."""

        def ready(tx: Tx) -> tuple[AgentState, AgentState] | None:
            found = self._ready(tx, agent_id, forced)
            return None if found is None else found[1:]

        pair = self._core.join(ready)
        if pair is None:
            return None
        sleeper = pair[1]
        if doubt := self.doubt(sleeper):
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

    def _write(self, agent_id: str, forced: bool, chat: ChatModel | None) -> Begun | None:
        def work(tx: Tx) -> Begun | None:
            found = self._ready(tx, agent_id, forced)
            if found is None:
                return None
            group, state, sleeper = found
            heard = messages.page(
                tx,
                agent_id,
                # What it inherits was another's to tidy, and what it was rewound from is not its any more.
                pieces=[one for one in threads_of(tx, agent_id) if one[0] == agent_id],
                after=self.mark(tx, group),
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
            share_blocks(tx, agent_id, sleeper.id)
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
            _here.add(sleep.id)  # before anybody can see it
            sleeps.add(tx, sleep)
            return Begun(sleep, sleeper, text)

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
        self.settle(tx, group)
        if state.set_aside and not forced:
            return None  # nobody talks to it any more
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
        if (turns := sleeps.turns(tx, agent_id, self.mark(tx, group))) != group.turns_counter:
            group.turns_counter = turns
            groups.save(tx, group)
        return None

    def _is_time(self, tx: Tx, group: Group) -> bool:
        agent_id, every = group.manager_agent_id or "", group.sleeptime_agent_frequency or 1
        since = sleeps.turns(tx, agent_id, self.mark(tx, group))
        recent = [one for one in sleeps.list_all(tx, agent_id, _STOPS) if one.group_id == group.id]
        last = recent[0] if recent else None
        often = len(recent) == _STOPS and all(one.status == "stopped" for one in recent)
        if last is not None and last.status == "stopped" and not often:
            return since > 0  # it had begun, and is taken up again
        if last is not None and (last.status == "failed" or often):  # each costs something
            return sleeps.turns(tx, agent_id, last.upto) >= every
        return since >= every

    def due(self, tx: Tx) -> list[str]:
        """Return the agents whose memory is to be tidied now, or was, by a process that has ended since."""
        found = []
        for group in groups.list_all(tx, manager_type="sleeptime", hidden=True):
            begun = sleeps.unfinished(tx, group.id)
            over = all(one.id not in _here and self._is_over(tx, one) for one in begun)
            if over and (begun or self._is_time(tx, group)):
                found.append(group.manager_agent_id or "")
        return found

    @staticmethod
    def mark(tx: Tx, group: Group) -> int:
        """Return the number of the last message that was looked at."""
        known = group.last_processed_message_id
        found = messages.get(tx, known) if known else None
        return found.seq if found is not None else sleeps.last_upto(tx, group.id)

    def doubt(self, sleeper: AgentState) -> str:
        """Return why an agent cannot tidy anything; empty if it can."""
        if self._recordings.model_name(sleeper.model) != _DEMO:
            return ""
        return (
            "The demo model is no language model and cannot tidy memory: choose another one for "
            f"{sleeper.name}."
        )

    def ended(self, sleep: Sleep, problem: str) -> Sleep | None:
        """Let one that went on here have its end, by a *problem* if it had no run; return what it is then."""

        def work(tx: Tx) -> Sleep | None:
            group = groups.get(tx, sleep.group_id)
            if group is not None:
                self.settle(tx, group, ended=sleep.id, problem=problem)
            return sleeps.get(tx, sleep.id)

        try:
            return self._core.join(work)
        finally:
            _here.discard(sleep.id)

    def settle(self, tx: Tx, group: Group, *, ended: str = "", problem: str = "") -> None:
        """Let the looks of a group that are over have their end, once: what they wrote lands, or it is dropped.

        *ended* is one of this process that is over though it may have had no run, by a *problem*.
        """
        for sleep in sleeps.unfinished(tx, group.id):
            run_id = sleeps.run_of(tx, sleep.message_id)
            run = runs.get(tx, run_id) if run_id else None
            if run is None:
                if sleep.id != ended and (sleep.id in _here or not self._is_over(tx, sleep)):
                    continue
                sleep.status = "failed" if problem else "stopped"
                sleep.note = problem
                self._review.drop(tx, sleep)
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
                self._review.drop(tx, sleep)
            sleeps.end(tx, sleep)

    @staticmethod
    def _is_over(tx: Tx, sleep: Sleep) -> bool:
        """Whether the process that wrote a look down, and has no run for it, has none to come.

        Of one before the machine began anew, or in another container, nobody sees that it has ended.
        """
        late = not lease.is_here(sleep.owner) and tx.now() - sleep.created_at > _LATE
        return lease.is_own(sleep.owner) or lease.is_dead(sleep.owner) or late

    def _finish(self, tx: Tx, group: Group, sleep: Sleep) -> None:
        self._review.give_reasons(tx, sleep)
        said = messages.page(
            tx, sleep.sleeper_id, run_id=sleep.run_id, roles=["assistant"], limit=1
        )
        left: list[str] = []
        if sleep.review:
            changes = self._review.put_up(tx, sleep)
        else:
            changes = len(sleeps.proposals(tx, sleep.id, ["staged"]))
            left = self._review.land(tx, sleep)
        sleep.status, sleep.told = "done", not changes
        sleep.note = " ".join([*left, *(one.content.strip() for one in said)])[:1_000]
        group.last_processed_message_id = sleep.upto_id
        group.turns_counter = sleeps.turns(tx, sleep.agent_id, sleep.upto)
        groups.save(tx, group)
