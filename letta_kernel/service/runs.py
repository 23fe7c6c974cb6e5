"""Runs: sent, approved, ended, looked back at step by step, and what the next one would begin with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Unpack

from letta_kernel.agent.beside import BesideSource
from letta_kernel.agent.context import ContextReport
from letta_kernel.agent.decisions import Decision
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.messages import Event, Message, ToolCall
from letta_kernel.models import registry
from letta_kernel.models.base import Cancel, ChatRequest, ModelError, Reply
from letta_kernel.pictures.picture import Picture, check, marked
from letta_kernel.records import AgentState, Run, Step, Tool, WholeRun
from letta_kernel.service.admission import Admission, counted
from letta_kernel.service.core import Core
from letta_kernel.service.preparation import Preparation, report
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.replay import replay
from letta_kernel.service.run_options import RunOptions, checked, with_lent
from letta_kernel.service.runner import Runner
from letta_kernel.store import agents, lease, run_figures, runs, stops
from letta_kernel.store.database import Tx
from letta_kernel.tools.answers import AnswerForm
from letta_kernel.tools.notebook import NAMES
from letta_kernel.totals import Cost, Feedback

MAX_MESSAGE = 1_000_000  # characters
GOING = ("created", "running")
"""How runs stand that go on."""
_LOOK = 0.05  # seconds between two looks at whether a run has ended
_OF_IDS = "WHERE id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands: ``idle``, ``running`` or ``waiting``, and its newest run."""

    state: str
    last_run: Run | None = None


IDLE = Standing("idle")


def sendable(text: str, pictures: Sequence[Picture]) -> str:
    """Return *text* as it is sent, with what it does not say of *pictures*; refuse what cannot be sent."""
    check(pictures)
    text = marked(text, pictures)
    if not text.strip():
        raise InvalidInputError("There is nothing to send: the message is empty.")
    if len(text) > MAX_MESSAGE:
        raise InvalidInputError(
            f"A message may have {MAX_MESSAGE:,} characters; this has {len(text):,}. Put long texts "
            "into archival memory."
        )
    return text


class Runs:
    """The runs of a project's agents."""

    def __init__(
        self, core: Core, preparation: Preparation, recordings: Recordings, runner: Runner
    ) -> None:
        self._core = core
        self._preparation = preparation
        self._recordings = recordings
        self._runner = runner

    def admit(self, admission: Admission) -> None:
        """Ask *admission* before each run from now on."""
        self._core.admission = admission

    @property
    def going(self) -> int:
        """How many runs go on in this process."""
        return len(self._runner.running)

    @property
    def notebook(self) -> str | None:
        """The notebook whose runs these are, where no host says another."""
        return self._runner.notebook

    @notebook.setter
    def notebook(self, name: str | None) -> None:
        self._runner.notebook = name

    def send(
        self,
        ref: str,
        text: str,
        *,
        role: Literal["user", "event"] = "user",
        conversation: str | None = None,
        earlier: Sequence[Message] = (),
        pictures: Sequence[Picture] = (),
        name: str | None = None,
        sender_id: str | None = None,
        group_id: str | None = None,
        otid: str | None = None,
        **options: Unpack[RunOptions],
    ) -> Iterator[Event]:
        """Send a message (or a system event) to an agent and yield what happens until its turn ends.

        Parameters
        ----------
        conversation : the id of the conversation it belongs to; None for the agent's own thread.
        earlier : messages to put into the history before this one, unanswered.
        pictures : those of the message, in the order in which *text* describes them; what it does not
            describe comes behind it.
        name, sender_id, group_id : who speaks, if that is an agent or not the person in front (`Message`).
        otid : what the client calls the message; its run is found by it (`Messages.run_of`).
        options : how the run is carried out.

        Raises
        ------
        InvalidInputError
            The message is empty or far too long, or the agent waits for an approval. Nothing is changed.
        AgentBusyError
            Another run of this agent is going on: with *wait*, in this process.
        """
        text = sendable(text, pictures)
        state = self._core.find_thread(ref, conversation)
        incoming = Message(
            agent_id=state.id,
            role=role,
            content=text,
            pictures=[*pictures],
            name=name,
            sender_id=sender_id,
            group_id=group_id,
            otid=otid,
        )
        return self._runner.run(state, [*earlier, incoming], None, checked(options))

    def complete(
        self,
        ref: str,
        prompt: str,
        *,
        system: str = "",
        model: str | None = None,
        form: AnswerForm | None = None,
    ) -> Reply:
        """Return what an agent's model says to a prompt: without its memory and tools, kept nowhere.

        Parameters
        ----------
        system : a system prompt; none if empty.
        model : in place of the agent's own.
        form : what the answer must be.

        Raises
        ------
        ModelError
            The model did not answer, or not in that form.
        QuotaError
            Whoever asks has used up what they may.
        """
        if not prompt.strip():
            raise InvalidInputError("There is nothing to send: the prompt is empty.")
        state = self._core.find_agent(ref)
        settings = AgentSettings.model_validate(state.settings)
        if model is not None:
            registry.check_model(model)
        chat = self._recordings.open_model(model or state.model, settings)
        said = [{"role": "system", "content": system}] if system.strip() else []
        request = ChatRequest(
            [*said, {"role": "user", "content": prompt}],
            params=settings.sampling(),
            response_format=form.format if form is not None else None,
        )
        with (
            counted(self._core.admission, state.id) as took,
            closing(chat.stream(request, Cancel())) as pieces,
        ):
            reply = next(piece for piece in pieces if isinstance(piece, Reply))
            took(reply.usage)
        if form is not None and (problem := form.problem(reply.text)):
            raise ModelError("other", problem)
        return reply

    def post_event(self, ref: str, text: str) -> bool:
        """Keep an event for an agent that is running in this process; False if it is not.

        Whoever shows the run sends it on when the run has ended: see `next_event`.
        """
        state = self._core.find_agent(ref)
        if not text.strip():
            raise InvalidInputError("There is nothing to send: the event is empty.")
        return self._runner.post(state.id, text)

    def next_event(self, ref: str) -> str | None:
        """Return the oldest event that was kept; None if there is none or it cannot be sent yet.

        It is kept until a run has begun with it.
        """

        def work(tx: Tx) -> str | None:
            if agents.none_posted(tx, self._core.agent(tx, ref).id):
                return None
            state, waiting = self._standing(tx, ref)
            idle = not waiting and agents.standing(tx, state.id).get(state.id) == "idle"
            return lease.first_posted(tx, state.id) if idle else None

        return self._core.do(work)

    def approve(
        self,
        ref: str,
        decisions: Sequence[Decision],
        *,
        conversation: str | None = None,
        **options: Unpack[RunOptions],
    ) -> Iterator[Event]:
        """Go on where a run stopped for approval; calls without a decision count as denied."""
        state, waiting = self._core.do(lambda tx: self._standing(tx, ref, conversation))
        if not waiting:
            raise InvalidInputError(f"{state.name} waits for no approval.")
        known = {call.id for call in waiting}
        for decision in decisions:
            if decision.call_id not in known:
                raise InvalidInputError(
                    f"{state.name} does not wait for a call {decision.call_id!r}; it waits for: "
                    f"{', '.join(sorted(known))}."
                )
        if len({decision.call_id for decision in decisions}) < len(decisions):
            raise InvalidInputError("A call is decided twice: decide each one once.")
        lent = [*options.get("turn_tools", ()), *options.get("client_tools", ())]
        self._check_here(state, waiting, decisions, lent)
        decided = {d.call_id for d in decisions}
        complete = [*decisions, *(Decision(c, approve=False) for c in known - decided)]
        return self._runner.run(state, [], complete, checked(options))

    def _check_here(
        self,
        state: AgentState,
        waiting: Sequence[ToolCall],
        decisions: Sequence[Decision],
        lent: Sequence[Tool],
    ) -> None:
        """Refuse to let calls of a notebook's tools go on where there is no notebook: they wait for it."""
        passed = {one.call_id for one in decisions if one.approve and one.result is None}
        names = {call.name for call in waiting if call.id in passed} & {*NAMES}
        if names := names - {tool.name for tool in lent}:
            own = self._core.do(lambda tx: {one.name for one in self._preparation.own(tx, state)})
            if elsewhere := sorted(names - own):
                raise InvalidInputError(
                    f"{', '.join(elsewhere)}: this is done in the notebook {state.name} was talked to from. "
                    "Approve it there, or deny it."
                )

    def pending(self, ref: str, conversation: str | None = None) -> list[ToolCall]:
        """Return the calls that wait for a person's approval; empty if none do."""
        return self._core.do(lambda tx: self._standing(tx, ref, conversation))[1]

    def _standing(
        self, tx: Tx, ref: str, conversation: str | None = None
    ) -> tuple[AgentState, list[ToolCall]]:
        state = self._core.thread(tx, ref, conversation)
        return state, self._core.waiting_calls(tx, state)

    def is_here(self, run_id: str) -> bool:
        """Whether this process carries a run out."""
        return run_id in self._runner.running

    def cancel(self, run_id: str) -> bool:
        """Ask whoever carries out a run, here or in another process, to end it; False if it is over.

        One that waits for a person's word is ended at once. A turn of a group has an id like a run's.
        """
        switch = self._runner.running.get(run_id)
        if switch is not None:
            switch.cancel()
            return True
        return self._core.do(lambda tx: stops.ask(tx, run_id) or self._wait_no_more(tx, run_id))

    def cancelled(self, run_ids: Sequence[str], seconds: float) -> dict[str, str]:
        """Ask for the end of runs, and wait for it, *seconds* at most; return how each of them stands then.

        That is ``cancelled``; ``ended`` if it had come to its end before; ``cancelling`` if it will end with
        its next step, or when its holder, who cannot be reached, has lost it.
        """
        asked = {run_id: self.cancel(run_id) for run_id in run_ids}
        deadline = time.monotonic() + seconds

        def stand(tx: Tx) -> dict[str, str | None]:
            found = {one.id: one.status for one in runs.select(tx, _OF_IDS, ([*run_ids],))}
            return {run_id: found.get(run_id) for run_id in run_ids}

        while True:
            stands = self._core.do(stand)
            left = [
                run_id
                for run_id, status in stands.items()
                if status in GOING or (status is None and run_id in self._runner.running)
            ]
            if not left or time.monotonic() >= deadline:
                break
            time.sleep(_LOOK)
        return {
            run_id: "cancelling"
            if run_id in left
            # One that had not begun yet has left nothing.
            else "cancelled"
            if status == "cancelled" or (status is None and asked[run_id])
            else "ended"
            for run_id, status in stands.items()
        }

    def _wait_no_more(self, tx: Tx, run_id: str) -> bool:
        """End a run that waits for a person's word, its calls not carried out; False if it does not wait."""
        run = runs.get(tx, run_id)
        if run is None or run.stop_reason != "requires_approval":
            return False
        state = self._core.thread(tx, run.agent_id, run.conversation_id)
        newest = runs.find(tx, thread_id=state.thread_id, limit=1)
        if [one.id for one in newest] != [run_id] or not self._core.waiting_calls(tx, state):
            return False
        agents.check_idle(tx, state.thread_id)
        agents.wait_no_more(tx, state.thread_id)
        said = lease.STOPPED_UNANSWERED
        lease.close(tx, state.id, run.conversation_id, [run_id], text=said)
        run.status, run.stop_reason = "cancelled", "cancelled"
        runs.finish(tx, run)
        return True

    def waiting(self, ref: str, conversation: str | None = None) -> str | None:
        """Return the run of a thread that waits for a person's word; None if none does."""

        def work(tx: Tx) -> str | None:
            state, calls = self._standing(tx, ref, conversation)
            newest = runs.find(tx, thread_id=state.thread_id, limit=1) if calls else []
            return newest[0].id if newest else None

        return self._core.do(work)

    def release(self, ref: str) -> list[str]:
        """Take an agent and its conversations from whoever holds them; return who that was, in words.

        What is left of their runs is brought to an end. One that goes on all the same writes nothing more.
        """

        def work(tx: Tx) -> list[tuple[str, str | None]]:
            return agents.take_by_hand(tx, self._core.agent(tx, ref).id)

        found = self._core.do(work)
        for owner, _ in found:
            if lease.is_own(owner):
                self.cancel(owner.partition("/")[2])
        return [lease.describe(owner, notebook) for owner, notebook in found]

    def model_of(self, ref: str) -> str:
        """Return the name of the model that would answer now."""
        return self._recordings.model_name(self._core.find_agent(ref).model)

    def whole(self, ref: str, limit: int = 50, before: str | None = None) -> list[WholeRun]:
        """Return an agent's runs, newest first, older than the run *before*.

        One that waited for an approval and went on is one run.
        """
        return self._core.do(lambda tx: runs.whole(tx, self._core.agent(tx, ref).id, limit, before))

    def standing(self, ref: str | None = None) -> dict[str, Standing]:
        """Return how agents stand that have ever run, one or all, by their ids."""
        agent_id = self._core.find_agent(ref).id if ref else None

        def work(tx: Tx) -> dict[str, Standing]:
            last = runs.newest(tx, agent_id)
            found = agents.standing(tx, agent_id)
            return {key: Standing(state, last.get(key)) for key, state in found.items()}

        return self._core.do(work)

    def replay(self, run_id: str, label: str = "") -> tuple[str, list[Event]]:
        """Return what was said to the agent, and the events of a run once more, from what is stored."""
        return self._core.do(lambda tx: replay(tx, run_id, label))

    def retrieve(self, run_id: str) -> Run:
        """Return one run; `NotFoundError` if there is none."""

        def work(tx: Tx) -> Run:
            found = runs.get(tx, run_id)
            if found is None:
                raise NotFoundError(f"There is no run {run_id!r}.")
            return found

        return self._core.do(work)

    def first_of(self, run_id: str) -> str:
        """Return the id of the run that a run goes on with after approvals; its own if it is the first."""

        return self._core.do(lambda tx: runs.first_of(tx, run_id))

    def cost(
        self, ref: str | None = None, *, notebook: str | None = None, since: datetime | None = None
    ) -> Cost:
        """Return what runs took: of one agent or all, in one notebook or all, since a moment or ever."""
        agent_id = self._core.find_agent(ref).id if ref else None
        return self._core.do(lambda tx: run_figures.cost(tx, agent_id, notebook, since))

    def context(
        self,
        ref: str,
        conversation: str | None = None,
        *,
        notebook: str | None = None,
        beside: BesideSource | None = None,
        turn_tools: Sequence[Tool] = (),
    ) -> ContextReport:
        """Return what the model would see now, part by part, with the tokens each part takes.

        Parameters
        ----------
        notebook, beside, turn_tools : where the next message comes from, what gives what stands beside it,
            and the tools it lends, as for `send`.
        """
        state = self._core.find_thread(ref, conversation)
        settings = AgentSettings.model_validate(state.settings)
        chat = self._recordings.open_model(state.model, settings)
        loaded = self._core.do(lambda tx: self._preparation.read(tx, state, settings, chat))
        prompt = self._preparation.prompt(state, loaded, notebook)
        loaded.tools = with_lent(loaded.tools, turn_tools)
        offered = self._preparation.calls(state, loaded, chat).offered()
        ahead = self._runner.ahead(state, settings, chat)
        return report(chat, prompt, loaded, offered, beside.gather(ahead) if beside else ())

    def system_prompt(self, ref: str, conversation: str | None = None) -> str:
        """Return the system prompt a run would begin with now."""
        state = self._core.find_thread(ref, conversation)
        settings = AgentSettings.model_validate(state.settings)
        chat = self._recordings.open_model(state.model, settings)
        return self._preparation.prompt(
            state, self._core.do(lambda tx: self._preparation.read(tx, state, settings, chat))
        )

    # Last, so that `list` in the annotations above is Python's.
    def list(self, **wanted: Any) -> list[Run]:
        """Return runs that are all of what is asked for; *wanted* is as `store.runs.find` takes it."""
        return self._core.do(lambda tx: runs.find(tx, **wanted))


class Steps:
    """The steps of a project's runs, with what somebody thought of them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def retrieve(self, step_id: str) -> tuple[Step, Feedback]:
        """Return one step and what was thought of it; `NotFoundError` if there is none."""

        def work(tx: Tx) -> tuple[Step, Feedback]:
            found = runs.get_step(tx, step_id)
            if found is None:
                raise NotFoundError(f"There is no step {step_id!r}.")
            return found, run_figures.feedback_of(tx, [step_id]).get(step_id, Feedback())

        return self._core.do(work)

    def rate(
        self, step_id: str, opinion: str | None, tags: Sequence[str] | None = None
    ) -> tuple[Step, Feedback]:
        """Keep what somebody thinks of a step: positive, negative or (None) nothing any more."""
        step, _ = self.retrieve(step_id)
        kept = self._core.do(lambda tx: run_figures.rate(tx, step, opinion, tags))
        return step, kept

    def of_run(self, run_id: str, *, whole: bool = False) -> list[Step]:
        """Return the steps of a run in order; *whole*: with those after approvals, numbered through."""
        read = runs.whole_steps if whole else runs.steps_of
        return self._core.do(lambda tx: read(tx, run_id))

    # Last, so that `list` in the annotations above is Python's.
    def list(self, **wanted: Any) -> list[tuple[Step, Feedback]]:
        """Return steps that are all of what is asked for, as `store.runs.find_steps` takes it, rated or not."""

        def work(tx: Tx) -> list[tuple[Step, Feedback]]:
            found = runs.find_steps(tx, **wanted)
            thought = run_figures.feedback_of(tx, [step.id for step in found])
            return [(step, thought.get(step.id, Feedback())) for step in found]

        return self._core.do(work)
