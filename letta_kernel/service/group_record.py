"""What is written down of a group's turn: what was said, and who has heard it."""

from __future__ import annotations

from collections.abc import Mapping

from letta_kernel.errors import AgentBusyError, InvalidInputError, NotFoundError
from letta_kernel.records import AgentState, Group, GroupMessage
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import agents, groups, messages
from letta_kernel.store.database import Tx


class GroupRecord:
    """What the store keeps of one turn; each method reads or writes in the transaction it is given.

    Parameters
    ----------
    group, members : the group, and its agents by their ids.
    """

    def __init__(self, group: Group, members: Mapping[str, AgentState]) -> None:
        self._group, self._members = group, members

    def check(self, tx: Tx, *, wait: bool) -> None:
        """Refuse a message that nobody could answer now: nothing is kept then.

        Parameters
        ----------
        wait : whether the turn may wait for the agent that speaks first.

        Raises
        ------
        InvalidInputError
            An agent waits for an approval.
        AgentBusyError
            The agent that speaks first is in the middle of a run.
        """
        group = self._group
        first = (
            group.agent_ids[0] if group.manager_type == "round_robin" else group.manager_agent_id
        )
        speak = group.everyone if group.manager_type != "sleeptime" else [first]
        for agent_id in speak:
            if agent_id and agents.is_waiting(tx, agent_id):
                name = self._members[agent_id].name
                raise InvalidInputError(
                    f"{group.shown} waits: {name} wants your word on its calls first.",
                    remedy(Do.DECIDE_CALLS),
                    page="approval-waiting",
                )
        if first and not wait:
            agents.check_idle(tx, first)

    def done(self, tx: Tx) -> int:
        """Return how many turns the members have had since a person spoke last."""
        last = [one for one in groups.said_in(tx, self._group.id) if one.sender_id is None]
        if not last:
            return 0
        ids = self._group.agent_ids
        return len(groups.turns(tx, self._group.id, ids, last[-1].created_at))

    def say(self, tx: Tx, said: GroupMessage) -> None:
        """Keep what somebody says; `NotFoundError` if the group has been deleted."""
        self._check_there(tx)
        groups.say(tx, said)

    def unheard(self, tx: Tx, agent_id: str) -> list[GroupMessage]:
        """Return what an agent has not heard yet; `NotFoundError` if the group has been deleted."""
        self._check_there(tx)
        return groups.unheard(tx, self._group.id, agent_id)

    def heard(self, tx: Tx, agent_id: str, upto: int) -> None:
        """Note that an agent has heard all up to the message numbered *upto*."""
        groups.heard(tx, self._group.id, agent_id, upto)

    def all_heard(self, tx: Tx) -> None:
        """Note that the supervisor has heard all: what the others answered was the result of its call."""
        if said := groups.said_in(tx, self._group.id):
            self.heard(tx, self._group.manager_agent_id or "", said[-1].seq)

    def keep_answers(self, tx: Tx) -> None:
        """Keep what was answered and is not kept yet, also by a process that is gone."""
        group = self._group
        if groups.get(tx, group.id) is None:  # deleted meanwhile
            return
        # Who says who is next does not speak to the others.
        ids = group.agent_ids if group.manager_type == "dynamic" else group.everyone
        for message in groups.unkept_answers(tx, group.id, ids):
            groups.say(
                tx,
                GroupMessage(
                    id=message.id,
                    group_id=group.id,
                    sender_id=message.agent_id,
                    name=self._members[message.agent_id].name,
                    content=message.said,
                    run_id=message.run_id,
                    created_at=message.created_at,
                ),
            )

    def spread(self, tx: Tx) -> None:
        """Put what agents have not heard yet into the histories of those that nobody runs now."""
        group = self._group
        if group.manager_type not in ("round_robin", "dynamic"):
            return
        if groups.get(tx, group.id) is None:  # deleted meanwhile
            return
        for agent_id in group.everyone:
            unheard = groups.unheard(tx, group.id, agent_id)
            if not unheard or agents.is_waiting(tx, agent_id):
                continue
            try:
                agents.check_idle(tx, agent_id)
            except AgentBusyError:
                continue  # it hears of it when it speaks here next
            messages.append(tx, agent_id, groups.copies(unheard, agent_id))
            self.heard(tx, agent_id, unheard[-1].seq)

    def _check_there(self, tx: Tx) -> None:
        if groups.get(tx, self._group.id) is None:
            raise NotFoundError(f"{self._group.shown} was deleted meanwhile: nobody else speaks.")
