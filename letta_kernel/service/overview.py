"""Looking at everything in a project from outside: agents with what they have, runs, steps, messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from letta_kernel.errors import NotFoundError
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Block, Folder, Identity, Run, Step, Tool
from letta_kernel.service.turns import Turns
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store import agents, blocks, feedback, folders, identities, messages, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.feedback import Feedback


@dataclass(slots=True)
class AgentView:
    """An agent with what it has; ``in_context`` are the ids of the messages it has in sight."""

    state: AgentState
    blocks: list[Block] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    identities: list[tuple[Identity, list[str], list[str]]] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)
    asked_in: str | None = None  # the message whose calls are pending
    last_run: Run | None = None
    in_context: list[str] | None = None


class Overview(Turns):
    """The part of the service that looks at a project as a whole."""

    def view_agent(self, ref: str) -> AgentView:
        """Return an agent with all it has."""

        def work(tx: Tx) -> AgentView:
            state = self._agent(tx, ref)
            view = self._view(tx, state)
            sight = messages.window(tx, state.id, state.window_start)
            view.in_context = [message.id for message in sight]
            if state.summary_id:
                view.in_context.insert(0, state.summary_id)
            return view

        return self.do(work)

    def view_agents(self, states: Sequence[AgentState]) -> list[AgentView]:
        """Return agents with all they have."""
        return self.do(lambda tx: [self._view(tx, state) for state in states])

    def _view(self, tx: Tx, state: AgentState) -> AgentView:
        last = runs.page(tx, state.id, limit=1)
        view = AgentView(
            state,
            blocks=blocks.of_agent(tx, state.id),
            tools=self._tools(tx, state),
            folders=folders.list_all(tx, agent_id=state.id),
            identities=[
                (
                    identity,
                    identities.owned(tx, "agent", identity.id),
                    identities.owned(tx, "block", identity.id),
                )
                for identity in identities.list_all(tx, owned=("agent", state.id))
            ],
            last_run=last[0] if last else None,
        )
        view.pending = self._standing(tx, state.id)[1]
        if view.pending:
            view.asked_in = _asked_in(tx, view.pending, state.id)
        return view

    def find_agents(
        self,
        *,
        name: str | None = None,
        text: str | None = None,
        tags: Sequence[str] | None = None,
        match: Literal["any", "all"] = "any",
        identity_id: str | None = None,
        identity_keys: Sequence[str] | None = None,
        last_stop_reason: StopReason | None = None,
        order_by: str = "created_at",
        newest_first: bool = True,
        set_aside: bool = False,
    ) -> list[AgentState]:
        """Return the agents that are all of what is asked for.

        Parameters
        ----------
        name, text : the whole name, or a part of it in any case.
        order_by : created_at, updated_at or last_run_completion (agents that never ran come last).
        set_aside : those too that are set aside.
        """

        def work(tx: Tx) -> list[AgentState]:
            found = agents.list_all(
                tx,
                tags=tags or None,
                match=match,
                text=text,
                newest_first=newest_first,
                set_aside=set_aside,
            )
            if name is not None:
                found = [state for state in found if state.name == name]
            if identity_id is not None or identity_keys:
                among = _owned_by(tx, identity_id, identity_keys)
                found = [state for state in found if state.id in among]
            if last_stop_reason is None and order_by != "last_run_completion":
                return found
            last = runs.newest(tx)
            if last_stop_reason is not None:
                found = [
                    s for s in found if s.id in last and last[s.id].stop_reason == last_stop_reason
                ]
            if order_by == "last_run_completion":
                ran = [state for state in found if state.id in last]
                ran.sort(key=lambda state: last[state.id].created_at, reverse=newest_first)
                found = ran + [state for state in found if state.id not in last]
            return found

        found = self.do(work)
        if order_by == "updated_at":
            found.sort(key=lambda state: state.updated_at, reverse=newest_first)
        return found

    # -- runs and steps --------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return one run; `NotFoundError` if there is none."""

        def work(tx: Tx) -> Run:
            found = runs.get(tx, run_id)
            if found is None:
                raise NotFoundError(f"There is no run {run_id!r}.")
            return found

        return self.do(work)

    def find_runs(
        self,
        *,
        agent_ids: Collection[str] = (),
        statuses: Collection[str] = (),
        stop_reason: str | None = None,
        conversation_id: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> list[Run]:
        """Return runs that are all of what is asked for; *before* and *after* as in `paging`."""
        return self.do(
            lambda tx: runs.find(
                tx,
                agent_ids=agent_ids,
                statuses=statuses,
                stop_reason=stop_reason,
                conversation_id=conversation_id,
                before=before,
                after=after,
                limit=limit,
                newest_first=newest_first,
            )
        )

    def step(self, step_id: str) -> tuple[Step, Feedback]:
        """Return one step and what was thought of it; `NotFoundError` if there is none."""

        def work(tx: Tx) -> tuple[Step, Feedback]:
            found = runs.get_step(tx, step_id)
            if found is None:
                raise NotFoundError(f"There is no step {step_id!r}.")
            return found, feedback.of_steps(tx, [step_id]).get(step_id, Feedback())

        return self.do(work)

    def find_steps(
        self,
        *,
        agent_id: str | None = None,
        run_id: str | None = None,
        model: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        opinion: str | None = None,
        has_opinion: bool | None = None,
        tags: Collection[str] = (),
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> list[tuple[Step, Feedback]]:
        """Return steps that are all of what is asked for, each with what was thought of it."""

        def work(tx: Tx) -> list[tuple[Step, Feedback]]:
            found = runs.find_steps(
                tx,
                agent_id=agent_id,
                run_id=run_id,
                model=model,
                start=start,
                end=end,
                opinion=opinion,
                has_opinion=has_opinion,
                tags=tags,
                before=before,
                after=after,
                limit=limit,
                newest_first=newest_first,
            )
            thought = feedback.of_steps(tx, [step.id for step in found])
            return [(step, thought.get(step.id, Feedback())) for step in found]

        return self.do(work)

    def rate_step(
        self, step_id: str, opinion: str | None, tags: Sequence[str] | None = None
    ) -> tuple[Step, Feedback]:
        """Keep what somebody thinks of a step: positive, negative or (None) nothing any more."""
        step, _ = self.step(step_id)
        kept = self.do(lambda tx: feedback.put(tx, step, opinion, tags))
        return step, kept

    # -- messages --------------------------------------------------------------------------------------

    def find_messages(
        self,
        agent_id: str | None = None,
        *,
        run_id: str | None = None,
        step_id: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> tuple[list[Message], dict[str, str]]:
        """Return part of a history in the order asked for, and which calls in it were held for approval.

        The second maps the id of each such call to that of the message that made it.
        """

        def work(tx: Tx) -> tuple[list[Message], dict[str, str]]:
            # Before something, the nearest are wanted, whichever way the page is turned.
            backwards = before is not None and after is None
            found = messages.page(
                tx,
                agent_id,
                before=after if newest_first else before,
                after=before if newest_first else after,
                limit=limit,
                run_id=run_id,
                step_id=step_id,
                newest_first=newest_first != backwards,
            )
            return (found[::-1] if backwards else found), _held(tx, found)

        return self.do(work)

    def held(self, found: Sequence[Message]) -> dict[str, str]:
        """Return which calls in *found* were held for approval, and the message that made each."""
        return self.do(lambda tx: _held(tx, found))

    def put_messages(self, ref: str, new: Sequence[Message]) -> list[Message]:
        """Put messages into an agent's history that nobody answers; it must not be running."""

        def work(tx: Tx) -> list[Message]:
            state = self._agent(tx, ref)
            agents.check_idle(tx, state.id)
            return messages.append(tx, state.id, new)

        return self.do(work)


def _owned_by(tx: Tx, identity_id: str | None, keys: Sequence[str] | None) -> set[str]:
    wanted = [identity_id] if identity_id is not None else []
    for key in keys or ():
        identity = identities.find(tx, key)
        if identity is not None:
            wanted.append(identity.id)
    return {agent_id for one in wanted for agent_id in identities.owned(tx, "agent", one)}


def _asked_in(tx: Tx, pending: Sequence[ToolCall], agent_id: str) -> str | None:
    wanted = {call.id for call in pending}
    for message in messages.page(tx, agent_id, roles=["assistant"], limit=5, thread="own"):
        if wanted & {call.id for call in message.tool_calls}:
            return message.id
    return None


def _held(tx: Tx, found: Sequence[Message]) -> dict[str, str]:
    """Return the calls of *found* whose step ended by asking for approval."""
    spoken = [message for message in found if message.role == "assistant" and message.tool_calls]
    steps = {message.step_id for message in spoken if message.step_id}
    asking = runs.asking(tx, steps) if steps else set()
    held = {
        call.id: message.id
        for message in spoken
        if message.step_id in asking
        for call in message.tool_calls
    }
    # Results in a step in which nothing was said settle the calls of a step before.
    answers = {m.step_id for m in found if m.role == "tool" and m.step_id} - steps
    if answers:
        for message in messages.before_steps(tx, answers):
            held.update({call.id: message.id for call in message.tool_calls})
    return held
