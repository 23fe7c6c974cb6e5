"""Tokens for clients of a server: made, listed, revoked."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import ANY_AGENT, Answer, Rows, Terminal
from letta_kernel.commands.program import GROUP
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.ids import now
from letta_kernel.users import current_user

if TYPE_CHECKING:
    from letta_kernel.records import AccessToken, AgentState


class Right(StrEnum):
    """What a token lets its holder do; each includes those before it."""

    read = "read"
    talk = "talk"
    write = "write"


@command(None, "token new", group=GROUP)
def new_token(
    door: Terminal,
    name: str = argument("What to call it"),
    rights: Right = option("What it allows, each with those before it", Right.read),
    agent: AgentState | None = ANY_AGENT,
    user: str | None = option(
        "The person it is for, who reaches what is granted to them and nothing else"
    ),
    days: float | None = option("Days until it expires; never if not given", least=0, most=36_500),
) -> Answer:
    """Make a token for clients of a server, for the project or for one agent, and show it, once.

    With read they look, with talk they send messages and decide on calls that wait, with write they change
    things, too. It holds for every server of this project, from now on.
    """
    expires = None if days is None else now() + timedelta(days=days)
    made, token = door.service.tokens.create(
        name, rights.value, agent=agent.id if agent else None, expires_at=expires, user=user
    )
    note = f"{_described(made, agent.name if agent else None)} It is shown this once."
    return Answer(token, {"token": token, **_data(made)}, raw=True, notes=[note])


@command(None, "token list", group=GROUP)
def list_tokens(door: Terminal) -> Answer:
    """List the tokens there are, never the tokens themselves.

    The one a server was started with is not among them: it has all rights for as long as that server runs.
    """
    found = door.service.tokens.list()
    names = {one.id: one.name for one in door.service.agents.list(set_aside=True)} if found else {}
    columns = ["token", "whose", "for", "rights", "expires", "last used", "made"]
    rows = [
        [
            one.name,
            one.user or "",
            names.get(one.agent_id, one.agent_id) if one.agent_id else "the project",
            one.rights,
            _when(one.expires_at) or "never",
            _when(one.used_at) or "never",
            _when(one.created_at),
        ]
        for one in found
    ]
    empty = "No tokens: letta-kernel token new NAME makes one."
    return Answer(data=[_data(one) for one in found], rows=lambda: Rows(columns, rows, empty))


@command(None, "token revoke", group=GROUP)
def revoke_token(door: Terminal, name: str = argument("Its name or id", values="token")) -> Answer:
    """Revoke a token: whoever uses it is turned out at once, open streams and sockets too."""
    gone = door.service.tokens.revoke(name)
    return Answer(f"Revoked the token {gone.name!r}.", _data(gone))


def _described(made: AccessToken, agent: str | None) -> str:
    whose = f"the agent {agent}" if agent else "the project"
    if made.user is not None and made.user != current_user():
        return f"With the token {made.name!r}, {made.user} reaches what is granted to them: %agent grant."
    until = f", until {_when(made.expires_at)}" if made.expires_at else ""
    return f"The token {made.name!r} may {made.rights} in {whose}{until}."


def _data(one: AccessToken) -> dict[str, Any]:
    return one.model_dump(mode="json", exclude={"digest", "created_by"})


def _when(moment: Any) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment is not None else ""
