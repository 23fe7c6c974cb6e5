"""Agents of other people in the panel: listed, read, talked to, at the server that ``LETTA_SERVER`` names.

What answers a panel, a kernel or a Jupyter server, asks that server; its token never reaches the page. In the
panel such an agent is known by ``shared:OWNER/NAME``. What is registered here answers requests about those; all
others are for own agents alone. Their runs go on at their server and are followed here by threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.messages import Message
from letta_kernel.models.tokens import count
from letta_kernel.notebook.panel.memory import Messages, Written
from letta_kernel.notebook.panel.registry import OfAgent, Params, RequestContext, method
from letta_kernel.notebook.panel.runs import Decided, OfThread, Talk
from letta_kernel.notebook.panel.shared_runs import SIGN
from letta_kernel.pictures.picture import check, from_data_url
from letta_kernel.records import Block
from letta_kernel.remote import SharedAgents, owner_of, shared_agents
from letta_kernel.remote.shapes import SharedAgent

PATIENCE = 15.0
"""Seconds that an answer about agents of others may take: a panel waits for it."""

Answer = Callable[[RequestContext, SharedAgents, str, Any], Any]

ANSWERS: dict[str, Answer] = {}
"""What answers a method for an agent of somebody else's: told the server and what the agent is called there."""


def ref_of(agent: object) -> str | None:
    """Return what an agent of somebody else's is called at its server; None for an own one."""
    return agent.removeprefix(SIGN) if isinstance(agent, str) and agent.startswith(SIGN) else None


def is_about(request: dict[str, Any]) -> bool:
    """Whether a panel's request is answered by the server of shared agents."""
    params = request.get("params")
    agent = params.get("agent") if isinstance(params, dict) else None
    return request.get("method") == "shared" or ref_of(agent) is not None


def answer(context: RequestContext, name: str, asked: Any) -> Any:
    """Answer a request about an agent of somebody else's.

    Raises
    ------
    InvalidInputError
        It is for own agents alone.
    """
    ref = ref_of(asked.agent) or ""
    found = ANSWERS.get(name)
    if found is None:
        owner = owner_of(ref)
        raise InvalidInputError(
            f"{ref} is {owner}'s agent: from here it can be talked to, and read. Ask {owner} for the rest."
        )
    return found(context, _server(), ref, asked)


def _of_shared(name: str) -> Callable[[Answer], Answer]:
    def enter(handler: Answer) -> Answer:
        ANSWERS[name] = handler
        return handler

    return enter


def _server() -> SharedAgents:
    found = shared_agents(PATIENCE)
    if found is None:
        raise NotFoundError(
            "No server of shared agents is named any more: LETTA_SERVER says where it is."
        )
    return found


class Looked(Params):
    """Whether what is shared is to be read anew."""

    fresh: bool = False


@method("shared", Looked)
def shared(context: RequestContext, asked: Looked) -> dict[str, Any]:
    """Return the agents that others share here, as own ones are told, and in a line why that cannot be said."""
    try:
        server = shared_agents(PATIENCE)
        if server is None:
            return {"agents": [], "problem": "", "server": "", "notice": ""}
        told = context.shared.me(server, fresh=asked.fresh)
    except LettaError as error:
        return {"agents": [], "problem": error.text, "server": "", "notice": ""}
    return {
        "agents": [_shown(one) for one in told.shared],
        "problem": "",
        "server": server.url,
        "notice": told.notice,
    }


def _shown(one: SharedAgent) -> dict[str, Any]:
    return {
        "id": SIGN + one.ref,
        "name": one.ref,
        "description": one.description,
        "model": None,
        "answers": one.model,
        "label": "",
        "state": "idle",
        "tags": one.tags,
        "shared": {"owner": one.owner, "rights": one.rights, "tools": one.tools},
    }


@_of_shared("messages")
def _messages(
    context: RequestContext, server: SharedAgents, ref: str, asked: Messages
) -> list[dict[str, Any]]:
    """Return the newest messages that one may read, oldest first."""
    me = context.shared.me(server).user
    found = server.history(ref, asked.limit)
    wanted = [one for one in found if asked.roles is None or one.role in asked.roles]
    return [
        {**_spoken(one, me).model_dump(mode="json"), "thumbnails": []}
        for one in wanted[-asked.limit :]
        if asked.before is None or one.seq < asked.before
    ]


def _spoken(message: Message, me: str) -> Message:
    """Return a message with who spoke it as its name, where that was not whoever asks."""
    if message.role != "user" or message.sender_id:
        return message
    return message.model_copy(
        update={"name": None if message.created_by == me else message.created_by}
    )


@_of_shared("pending")
def _pending(context: RequestContext, server: SharedAgents, ref: str, asked: OfThread) -> Any:
    """Return the calls that wait for a word of whoever asks; none for who may not talk."""
    return [*server.pending(ref)] if _talks(context, server, ref) else []


@_of_shared("talk")
def _talk(context: RequestContext, server: SharedAgents, ref: str, asked: Talk) -> dict[str, str]:
    """Send a message; the run goes on by itself."""
    if not asked.text.strip():
        raise InvalidInputError("There is nothing to send: the message is empty.")
    pictures = [from_data_url(url) for url in asked.images]
    check(pictures)
    run = context.shared.start(
        ref,
        lambda live, ending: server.send(
            ref, asked.text, pictures=pictures, live=live, ending=ending
        ),
    )
    return {"run": run}


@_of_shared("approve")
def _approve(
    context: RequestContext, server: SharedAgents, ref: str, asked: Decided
) -> dict[str, str]:
    """Decide about calls that wait; the run goes on by itself."""
    decisions = [
        Decision(one.call_id, one.approve, one.reason, one.arguments) for one in asked.decisions
    ]
    run = context.shared.start(
        ref, lambda live, ending: server.approve(ref, decisions, live=live, ending=ending)
    )
    return {"run": run}


@_of_shared("conversations")
def _conversations(
    context: RequestContext, server: SharedAgents, ref: str, asked: OfAgent
) -> list[Any]:
    """Return none: one talks with it in a thread of one's own."""
    return []


@_of_shared("blocks")
def _blocks(
    context: RequestContext, server: SharedAgents, ref: str, asked: OfAgent
) -> list[dict[str, Any]]:
    """Return its blocks as those of own agents are told; one that may not write only reads them."""
    writes = "write" in _rights(context, server, ref)
    return [_block(one, writes) for one in server.blocks(ref)]


@_of_shared("block.write")
def _write(context: RequestContext, server: SharedAgents, ref: str, asked: Written) -> Any:
    """Give a block another text, if nobody has written it since it was read."""
    return _block(server.write_block(ref, asked.label, asked.value, asked.expected_version), True)


def _block(block: Block, writes: bool) -> dict[str, Any]:
    return {
        **block.model_dump(mode="json"),
        "read_only": block.read_only or not writes,
        "tokens": count(block.value),
        "shared_with": [],
        "by": "",
        "how": "",
        "undoable": False,
        "redoable": False,
    }


def _rights(context: RequestContext, server: SharedAgents, ref: str) -> tuple[str, ...]:
    found = next((one for one in context.shared.me(server).shared if one.ref == ref), None)
    return found.rights if found is not None else ()


def _talks(context: RequestContext, server: SharedAgents, ref: str) -> bool:
    return not {"talk", "write"}.isdisjoint(_rights(context, server, ref))
