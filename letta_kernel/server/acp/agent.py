"""An agent as the Agent Client Protocol wants it: sessions, which are its conversations, and turns in them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import acp
from acp import schema
from acp.exceptions import RequestError

from letta_kernel import __version__
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.messages import RunEnded
from letta_kernel.models.registry import check_model
from letta_kernel.records import AgentState, Conversation
from letta_kernel.remedies import Words
from letta_kernel.server.acp.prompt import message_of
from letta_kernel.server.acp.servers import SessionServers
from letta_kernel.server.acp.turns import Session, Turn, Turns
from letta_kernel.server.acp.updates import replayed
from letta_kernel.server.events.runs import RunManager
from letta_kernel.service import AgentService
from letta_kernel.stop_reasons import failed

T = TypeVar("T")

REPLAYED = 1000
"""Messages of a session that are told when it is loaded; older ones stay in the history."""

_PAGE = 50  # sessions listed at a time
_MODEL = "model"
_FAILED, _REFUSED = -32603, -32602

MODES = {
    Policy.ask: ("Ask", "Ask about each call that needs a person's word."),
    Policy.approve: ("Approve", "Let all of them run."),
    Policy.deny: ("Deny", "Refuse all of them."),
    Policy.wait: ("Wait", "Leave them waiting, for a notebook or a terminal to decide."),
}
"""What becomes of calls that need a person's word."""


def _told(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Let a method's errors reach the client as one line each."""

    @functools.wraps(method)
    async def telling(self: Any, *args: Any, **kwargs: Any) -> T:
        try:
            return await method(self, *args, **kwargs)
        except LettaError as error:
            refused = isinstance(error, InvalidInputError | NotFoundError)
            raise RequestError(
                _REFUSED if refused else _FAILED, error.in_words(self.words)
            ) from None

    return telling


class ServedAgent:
    """What a client asks of one agent.

    Parameters
    ----------
    service
        The project's agents.
    agent
        Which of them.
    policy
        The mode that sessions begin in.
    words
        Those of the door it is started at.
    """

    def __init__(
        self, service: AgentService, agent: AgentState, policy: Policy, words: Words
    ) -> None:
        self.words = words
        self._service, self._agent, self._policy = service, agent, policy
        self._runs = RunManager(service, words=words)
        self._sessions: dict[str, Session] = {}
        self._turns = Turns(service, agent, self._runs)

    def close(self) -> None:
        """End the runs that go on."""
        self._runs.close()

    # -- what the protocol asks ----------------------------------------------------------------------

    def on_connect(self, conn: Any) -> None:
        """Take note of whom we talk to."""
        self._turns.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        """Say what can be done here."""
        able = schema.SessionCapabilities(
            list=schema.SessionListCapabilities(),
            fork=schema.SessionForkCapabilities(),
            resume=schema.SessionResumeCapabilities(),
            close=schema.SessionCloseCapabilities(),
        )
        return schema.InitializeResponse(
            protocol_version=acp.PROTOCOL_VERSION,
            agent_info=schema.Implementation(
                name="letta-kernel", title=self._agent.name, version=__version__
            ),
            agent_capabilities=schema.AgentCapabilities(
                load_session=True,
                prompt_capabilities=schema.PromptCapabilities(image=True, embedded_context=True),
                mcp_capabilities=schema.McpCapabilities(http=True),
                session_capabilities=able,
            ),
            auth_methods=[],
        )

    @_told
    async def new_session(
        self, cwd: str, mcp_servers: Any = None, **_: Any
    ) -> schema.NewSessionResponse:
        """Begin a conversation."""
        made = await asyncio.to_thread(self._service.conversations.create, self._agent.id)
        session = self._opened(made)
        self._bring(session, mcp_servers, cwd)
        return schema.NewSessionResponse(session_id=session.id, **await self._state(session))

    @_told
    async def load_session(
        self, cwd: str, session_id: str, mcp_servers: Any = None, **_: Any
    ) -> schema.LoadSessionResponse:
        """Go on with a conversation, and tell what was said in it."""
        session = await self._session(session_id)
        self._bring(session, mcp_servers, cwd)
        history = await asyncio.to_thread(
            self._service.messages.history,
            self._agent.id,
            REPLAYED,
            conversation=session.conversation,
        )
        for update in replayed(history):
            await self._turns.client.session_update(session_id, update)
        return schema.LoadSessionResponse(**await self._state(session))

    @_told
    async def resume_session(
        self, session_id: str, cwd: str, mcp_servers: Any = None, **_: Any
    ) -> schema.ResumeSessionResponse:
        """Go on with a conversation that the client knows."""
        session = await self._session(session_id)
        self._bring(session, mcp_servers, cwd)
        return schema.ResumeSessionResponse(**await self._state(session))

    @_told
    async def fork_session(
        self, session_id: str, cwd: str, mcp_servers: Any = None, **_: Any
    ) -> schema.ForkSessionResponse:
        """Begin a conversation that shares what was said in another."""
        session = await self._session(session_id)
        made = await asyncio.to_thread(
            self._service.conversations.fork, self._agent.id, session.conversation
        )
        forked = self._opened(made)
        self._bring(forked, mcp_servers, cwd)
        return schema.ForkSessionResponse(session_id=forked.id, **await self._state(forked))

    @_told
    async def list_sessions(
        self, cwd: str | None = None, cursor: str | None = None, **_: Any
    ) -> schema.ListSessionsResponse:
        """List the conversations in which something was said, newest first, then the agent's own thread."""

        def read() -> tuple[list[Conversation], bool]:
            found = self._service.conversations.list(
                self._agent.id,
                archived=False,
                after=cursor,
                limit=_PAGE + 1,
                order_by="last_message_at",
            )
            own = len(found) <= _PAGE and self._service.messages.history(self._agent.id, 1)
            return found, bool(own)

        found, own = await asyncio.to_thread(read)
        where = cwd or str(self._service.home.parent)
        sessions = [
            schema.SessionInfo(
                session_id=one.id,
                cwd=where,
                title=one.summary,
                updated_at=one.last_message_at.isoformat(),
            )
            for one in found[:_PAGE]
            if one.last_message_at is not None
        ]
        if own:
            title = f"{self._agent.name}, as in notebooks"
            sessions.append(schema.SessionInfo(session_id=self._agent.id, cwd=where, title=title))
        more = found[_PAGE - 1].id if len(found) > _PAGE else None
        return schema.ListSessionsResponse(sessions=sessions, next_cursor=more)

    @_told
    async def set_session_mode(
        self, session_id: str, mode_id: str, **_: Any
    ) -> schema.SetSessionModeResponse:
        """Say what becomes of calls that need a person's word."""
        session = await self._session(session_id)
        if mode_id not in list(MODES):
            raise InvalidInputError(f"There is no mode {mode_id!r}; one of: {', '.join(MODES)}.")
        session.mode = Policy(mode_id)
        return schema.SetSessionModeResponse()

    @_told
    async def set_config_option(
        self, config_id: str, session_id: str, value: str | bool, **_: Any
    ) -> schema.SetSessionConfigOptionResponse:
        """Choose the model that answers in a conversation."""
        session = await self._session(session_id)
        if config_id != _MODEL or session.conversation is None or not isinstance(value, str):
            raise InvalidInputError(f"This session has no option {config_id!r} to set so.")

        def choose() -> None:
            check_model(value)
            self._service.conversations.update(session_id, model=value)

        await asyncio.to_thread(choose)
        return schema.SetSessionConfigOptionResponse(config_options=await self._options(session))

    @_told
    async def prompt(self, session_id: str, prompt: Any, **_: Any) -> schema.PromptResponse:
        """Send a message, tell what happens, and return why the turn ended."""
        session = await self._session(session_id)
        text, pictures = await asyncio.to_thread(message_of, prompt)
        if session.turn is not None:
            raise InvalidInputError("This session is answering: cancel that first, or wait.")
        session.turn = turn = Turn()
        try:
            ended = await self._turns.answered(session, turn, text, pictures)
        finally:
            session.turn = None
            turn.stop()
        if ended is not None and failed(ended.stop_reason):
            raise RequestError(_FAILED, ended.error or f"The run ended with {ended.stop_reason}.")
        return _response(session, ended)

    async def cancel(self, session_id: str, **_: Any) -> None:
        """End the turn that goes on; what was said and done so far is kept."""
        session = self._sessions.get(session_id)
        if session is not None and session.turn is not None:
            session.turn.stop()

    async def close_session(self, session_id: str, **_: Any) -> schema.CloseSessionResponse:
        """Forget a session; the conversation stays."""
        await self.cancel(session_id)
        self._sessions.pop(session_id, None)
        return schema.CloseSessionResponse()

    # -- sessions ------------------------------------------------------------------------------------

    def _opened(self, conversation: Conversation | None) -> Session:
        key = self._agent.id if conversation is None else conversation.id
        session = Session(
            key,
            None if conversation is None else key,
            self._policy,
            conversation is None or bool(conversation.summary),
        )
        return self._sessions.setdefault(key, session)

    async def _session(self, session_id: str) -> Session:
        """Return a session, opened if it is not: the id of the agent itself names its own thread."""
        known = self._sessions.get(session_id)
        if known is not None:
            return known
        if session_id == self._agent.id:
            return self._opened(None)
        found = await asyncio.to_thread(self._service.conversations.retrieve, session_id)
        if found.agent_id != self._agent.id:
            raise NotFoundError(f"{self._agent.name} has no session {session_id!r}.")
        return self._opened(found)

    def _bring(self, session: Session, servers: Sequence[Any] | None, folder: str) -> None:
        """Let a session have the MCP servers that the client names; those it had before are gone."""
        connections = self._service.mcp.connections
        session.servers = SessionServers(connections, servers, folder) if servers else None
        session.lent = ()

    async def _state(self, session: Session) -> dict[str, Any]:
        modes = [
            schema.SessionMode(id=mode, name=name, description=about)
            for mode, (name, about) in MODES.items()
        ]
        return {
            "modes": schema.SessionModeState(current_mode_id=session.mode, available_modes=modes),
            "config_options": await self._options(session),
        }

    async def _options(self, session: Session) -> list[Any]:
        """Return which models can answer; in the agent's own thread that is chosen elsewhere."""
        if session.conversation is None:
            return []

        def read() -> tuple[str, list[str]]:
            from letta_kernel.models.registry import available

            chosen = self._service.conversations.retrieve(session.id).model
            now = chosen or self._service.runs.model_of(self._agent.id)
            names = [one.name for one in available() if one.usable]
            return now, list(dict.fromkeys([now, *names]))

        now, names = await asyncio.to_thread(read)
        return [
            schema.SessionConfigOptionSelect(
                type="select",
                id=_MODEL,
                name="Model",
                category="model",
                current_value=now,
                options=[schema.SessionConfigSelectOption(value=one, name=one) for one in names],
            )
        ]


_STOPS: dict[str, Any] = {
    "max_steps": "max_turn_requests",
    "max_tokens_exceeded": "max_tokens",
    "insufficient_credits": "max_tokens",
    "cancelled": "cancelled",
}


def _response(session: Session, ended: RunEnded | None) -> schema.PromptResponse:
    took = session.used
    return schema.PromptResponse(
        stop_reason="cancelled" if ended is None else _STOPS.get(ended.stop_reason, "end_turn"),
        usage=schema.Usage(
            total_tokens=took.total_tokens,
            input_tokens=took.prompt_tokens,
            output_tokens=took.completion_tokens,
            thought_tokens=took.reasoning_tokens,
            cached_read_tokens=took.cached_tokens,
        ),
    )
