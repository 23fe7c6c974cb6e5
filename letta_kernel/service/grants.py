"""Agents shared with other people: what each may is granted, told and taken back."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel import users
from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.records import AgentState, Conversation, Grant
from letta_kernel.service.core import Core
from letta_kernel.service.tools import Tools
from letta_kernel.store import agents, conversations, grants
from letta_kernel.store.database import Tx

RIGHTS = ("read", "talk", "write")
"""What can be granted: to read all of an agent, to talk in threads of one's own, and both with writing."""

_MOST_TOOLS = 100


class Grants:
    """What other people may with the agents of this project."""

    def __init__(self, core: Core, tools: Tools) -> None:
        self._core = core
        self._tools = tools

    def grant(
        self, agent: str, user: str, *rights: str, tools: Sequence[str] | None = None
    ) -> Grant:
        """Let another person use an agent; what was granted to them of it before is replaced.

        Parameters
        ----------
        rights : ``read``: see its memory, its history and everybody's messages; ``talk``: talk with it in
            conversations of one's own, and see those alone; ``write``: both, also in its own thread, and
            change its memory. One or more.
        tools : the names of the agent's tools that run for them, too; None keeps those granted before.

        Raises
        ------
        InvalidInputError
            The name, a right or a tool cannot be.
        NotFoundError
            There is no such agent.
        """
        users.checked_name(user)
        if user == users.current_owner():
            raise InvalidInputError(f"{user} owns this project: there is nothing to grant.")
        if not rights:
            raise InvalidInputError(f"Say what to grant: {', '.join(RIGHTS)}.")
        for right in rights:
            if right not in RIGHTS:
                raise InvalidInputError(f"{right!r:.100} is no right: one of {', '.join(RIGHTS)}.")
        if tools is not None and (
            len(tools) > _MOST_TOOLS or not all(one.strip() for one in tools)
        ):
            raise InvalidInputError(f"Name at most {_MOST_TOOLS} tools.")

        def work(tx: Tx) -> Grant:
            state = self._core.agent(tx, agent)
            if tools:
                known = [tool.name for tool in self._tools.of(tx, state)]
                for name in tools:
                    if name not in known:
                        raise InvalidInputError(
                            f"{state.name} has no tool {name!r:.100}.{nearest(name, known)}"
                        )
            ordered = [one for one in RIGHTS if one in rights]
            found = grants.find(tx, state.id, user)
            if found is None:
                made = Grant(
                    agent_id=state.id,
                    guest=user,
                    rights=ordered,
                    tools=list(dict.fromkeys(tools or ())),
                )
                return grants.add(tx, made)
            found.rights = ordered
            if tools is not None:
                found.tools = list(dict.fromkeys(tools))
            grants.save(tx, found)
            return found

        return self._core.do(work)

    def revoke(self, agent: str, user: str) -> Grant:
        """Take back what somebody may with an agent; `NotFoundError` if that was nothing."""

        def work(tx: Tx) -> Grant:
            state = self._core.agent(tx, agent)
            found = grants.find(tx, state.id, user)
            if found is None:
                known = [one.guest for one in grants.list_all(tx) if one.agent_id == state.id]
                raise NotFoundError(
                    f"Nothing of {state.name} is granted to {user!r:.100}.{nearest(user, known)}"
                )
            grants.delete(tx, found.id)
            return found

        return self._core.do(work)

    def revoke_all(self, user: str) -> int:
        """Take back all that somebody may in this project; return of how many agents that was."""

        def work(tx: Tx) -> int:
            found = [one for one in grants.list_all(tx) if one.guest == user]
            for one in found:
                grants.delete(tx, one.id)
            return len(found)

        return self._core.do(work)

    def find(self, agent_id: str, user: str) -> Grant | None:
        """Return what *user* may with the agent of this id; None if that is nothing."""
        return next((o for o in self.list() if (o.agent_id, o.guest) == (agent_id, user)), None)

    def granted(self, user: str | None = None) -> list[tuple[Grant, AgentState]]:
        """Return what is granted to *user*, or to anybody, with the agents it is of, but those set aside."""

        def work(tx: Tx) -> list[tuple[Grant, AgentState]]:
            found = [one for one in self._all(tx) if user in (None, one.guest)]
            states = {one.id: one for one in agents.list_all(tx)} if found else {}
            return [(one, states[one.agent_id]) for one in found if one.agent_id in states]

        return self._core.do(work)

    def conversation(self, agent_id: str, user: str) -> Conversation:
        """Return the thread of a guest's own with an agent, made if there is none yet.

        Raises
        ------
        NotFoundError
            Nothing is granted to them any more.
        """

        def work(tx: Tx) -> Conversation:
            grant = grants.find(tx, agent_id, user)
            if grant is None:
                raise NotFoundError(f"There is no agent {agent_id!r:.200}.")
            if grant.conversation_id is not None:
                found = conversations.get(tx, grant.conversation_id)
                if found is not None and found.created_by == user:
                    return found
            made = self._begin(tx, agent_id, user)
            grant.conversation_id = made.id
            grants.change_conversation(tx, grant)
            return made

        return self._core.do(work)

    def _begin(self, tx: Tx, agent_id: str, user: str) -> Conversation:
        made = Conversation(agent_id=agent_id, summary=f"with {user}", created_by=user)
        conversations.add(tx, made)
        return made

    def _all(self, tx: Tx) -> list[Grant]:
        return self._core.kept(tx, "grants", (grants.TABLE,), lambda: grants.list_all(tx))

    # Last, so that `list` in the annotations above is Python's.
    def list(self, agent: str | None = None) -> list[Grant]:
        """Return what is granted of an agent, or of all, oldest first."""

        def work(tx: Tx) -> list[Grant]:
            whose = None if agent is None else self._core.agent(tx, agent).id
            return [one for one in self._all(tx) if whose in (None, one.agent_id)]

        return self._core.do(work)
