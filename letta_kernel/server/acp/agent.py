"""An agent as the Agent Client Protocol wants it: sessions, which are its conversations, and turns in them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import acp
from acp import schema
from acp.exceptions import RequestError

from letta_kernel import __version__
from letta_kernel.commands.approvals import by_policy, described
from letta_kernel.commands.spec import Policy
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.messages import ApprovalRequested, RunEnded, ToolCall
from letta_kernel.models.registry import check_model
from letta_kernel.records import AgentState, Conversation
from letta_kernel.remedies import Words
from letta_kernel.server.acp.prompt import text_of
from letta_kernel.server.acp.updates import Updates, asked, replayed
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed

T = TypeVar("T")

REPLAYED = 1000
"""Messages of a session that are told when it is loaded; older ones stay in the history."""

_PAGE = 50  # sessions listed at a time
_TITLE = 80  # characters of a session's title
_MODEL = "model"
_FAILED, _REFUSED = -32603, -32602

MODES = {
    Policy.ask: ("Ask", "Ask about each call that needs a person's word."),
    Policy.approve: ("Approve", "Let all of them run."),
    Policy.deny: ("Deny", "Refuse all of them."),
    Policy.wait: ("Wait", "Leave them waiting, for a notebook or a terminal to decide."),
}
"""What becomes of calls that need a person's word."""

OPTIONS = [
    schema.PermissionOption(option_id="once", name="Allow once", kind="allow_once"),
    schema.PermissionOption(
        option_id="session", name="Allow this tool in this session", kind="allow_always"
    ),
    schema.PermissionOption(option_id="no", name="Reject", kind="reject_once"),
]


@dataclass(slots=True)
class _Turn:
    """A prompt that is being answered."""

    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    run: LiveRun | None = None

    def stop(self) -> None:
        self.stopped.set()
        if self.run is not None:
            self.run.cancel()


@dataclass(slots=True)
class _Session:
    id: str
    conversation: str | None  # None: the agent's own thread
    mode: Policy
    titled: bool
    allowed: set[str] = field(default_factory=set)  # names of tools, until the client leaves
    turn: _Turn | None = None


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
        self._sessions: dict[str, _Session] = {}
        self._client: Any = None

    def close(self) -> None:
        """End the runs that go on."""
        self._runs.close()

    # -- what the protocol asks ----------------------------------------------------------------------

    def on_connect(self, conn: Any) -> None:
        """Take note of whom we talk to."""
        self._client = conn

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
                prompt_capabilities=schema.PromptCapabilities(embedded_context=True),
                session_capabilities=able,
            ),
            auth_methods=[],
        )

    @_told
    async def new_session(self, cwd: str, **_: Any) -> schema.NewSessionResponse:
        """Begin a conversation."""
        made = await _aside(self._service.conversations.create, self._agent.id)
        session = self._opened(made)
        return schema.NewSessionResponse(session_id=session.id, **await self._state(session))

    @_told
    async def load_session(self, cwd: str, session_id: str, **_: Any) -> schema.LoadSessionResponse:
        """Go on with a conversation, and tell what was said in it."""
        session = await self._session(session_id)
        history = await _aside(
            self._service.messages.history,
            self._agent.id,
            REPLAYED,
            conversation=session.conversation,
        )
        for update in replayed(history):
            await self._client.session_update(session_id, update)
        return schema.LoadSessionResponse(**await self._state(session))

    @_told
    async def resume_session(
        self, session_id: str, cwd: str, **_: Any
    ) -> schema.ResumeSessionResponse:
        """Go on with a conversation that the client knows."""
        session = await self._session(session_id)
        return schema.ResumeSessionResponse(**await self._state(session))

    @_told
    async def fork_session(self, session_id: str, cwd: str, **_: Any) -> schema.ForkSessionResponse:
        """Begin a conversation that shares what was said in another."""
        session = await self._session(session_id)
        made = await _aside(self._service.conversations.fork, self._agent.id, session.conversation)
        forked = self._opened(made)
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

        found, own = await _aside(read)
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

        await _aside(choose)
        return schema.SetSessionConfigOptionResponse(config_options=await self._options(session))

    @_told
    async def prompt(self, session_id: str, prompt: Any, **_: Any) -> schema.PromptResponse:
        """Send a message, tell what happens, and return why the turn ended."""
        session = await self._session(session_id)
        text = text_of(prompt)
        if session.turn is not None:
            raise InvalidInputError("This session is answering: cancel that first, or wait.")
        session.turn = turn = _Turn()
        try:
            ended = await self._answered(session, turn, text)
        finally:
            session.turn = None
            turn.stop()
        if ended is not None and failed(ended.stop_reason):
            raise RequestError(_FAILED, ended.error or f"The run ended with {ended.stop_reason}.")
        return _response(ended)

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

    def _opened(self, conversation: Conversation | None) -> _Session:
        key = self._agent.id if conversation is None else conversation.id
        session = _Session(
            key,
            None if conversation is None else key,
            self._policy,
            conversation is None or bool(conversation.summary),
        )
        return self._sessions.setdefault(key, session)

    async def _session(self, session_id: str) -> _Session:
        """Return a session, opened if it is not: the id of the agent itself names its own thread."""
        known = self._sessions.get(session_id)
        if known is not None:
            return known
        if session_id == self._agent.id:
            return self._opened(None)
        found = await _aside(self._service.conversations.retrieve, session_id)
        if found.agent_id != self._agent.id:
            raise NotFoundError(f"{self._agent.name} has no session {session_id!r}.")
        return self._opened(found)

    async def _state(self, session: _Session) -> dict[str, Any]:
        modes = [
            schema.SessionMode(id=mode, name=name, description=about)
            for mode, (name, about) in MODES.items()
        ]
        return {
            "modes": schema.SessionModeState(current_mode_id=session.mode, available_modes=modes),
            "config_options": await self._options(session),
        }

    async def _options(self, session: _Session) -> list[Any]:
        """Return which models can answer; in the agent's own thread that is chosen elsewhere."""
        if session.conversation is None:
            return []

        def read() -> tuple[str, list[str]]:
            from letta_kernel.models.registry import available

            chosen = self._service.conversations.retrieve(session.id).model
            now = chosen or self._service.runs.model_of(self._agent.id)
            names = [one.name for one in available() if one.usable]
            return now, list(dict.fromkeys([now, *names]))

        now, names = await _aside(read)
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

    # -- a turn --------------------------------------------------------------------------------------

    async def _answered(self, session: _Session, turn: _Turn, text: str) -> RunEnded | None:
        """Send *text* and return how the turn ended; None if it was stopped before anything was sent."""
        updates = Updates()
        waiting = await _aside(self._service.runs.pending, self._agent.id, session.conversation)
        if waiting:  # since a turn that was stopped, or at another door
            before = await self._decided(session, turn, updates, waiting)
            if before is not None:
                ended = await self._run(session, turn, updates, before)
                if ended is None or ended.stop_reason == "cancelled" or failed(ended.stop_reason):
                    return ended
        if turn.stopped.is_set():
            return None
        await self._title(session, text)
        return await self._run(session, turn, updates, text)

    async def _run(
        self, session: _Session, turn: _Turn, updates: Updates, message: str | list[Decision]
    ) -> RunEnded | None:
        """Follow a run, and those that go on from it; None if it was stopped before it began."""
        while not turn.stopped.is_set():
            turn.run = run = await self._runs.start_async(
                self._agent.id, message, conversation=session.conversation
            )
            if turn.stopped.is_set():
                run.cancel()
            calls: list[ToolCall] = []
            ended: RunEnded | None = None
            async with aclosing(run.events()) as events:
                async for event in events:
                    assert event is not None
                    if isinstance(event, ApprovalRequested):
                        calls = event.calls
                    elif isinstance(event, RunEnded):
                        ended = event
                    for update in updates.of(event):
                        await self._client.session_update(session.id, update)
            if not calls:
                return ended
            decisions = await self._decided(session, turn, updates, calls)
            if decisions is None:
                return None if turn.stopped.is_set() else ended
            message = decisions
        return None

    async def _decided(
        self, session: _Session, turn: _Turn, updates: Updates, calls: Sequence[ToolCall]
    ) -> list[Decision] | None:
        """Return what becomes of calls that need a person's word; None leaves them waiting."""
        decisions = []
        for call in calls:
            for update in updates.waiting(call):
                await self._client.session_update(session.id, update)
            if session.mode is Policy.ask and call.name in session.allowed:
                found: list[Decision] | None = [Decision(call.id, approve=True)]
            elif session.mode is Policy.ask:
                found = await self._asked(session, turn, call)
            else:
                found = by_policy([call], session.mode, "the session's mode is to deny")
            if found is None:
                if not turn.stopped.is_set():
                    line = updates.aside(f"It waits for your word on {described(call)}.")
                    await self._client.session_update(session.id, line)
                return None
            decisions += found
        return decisions

    async def _asked(self, session: _Session, turn: _Turn, call: ToolCall) -> list[Decision] | None:
        """Ask the person about one call; a client that cannot ask leaves it to the policy."""
        question = asyncio.ensure_future(
            self._client.request_permission(session.id, asked(call), OPTIONS)
        )
        stopped = asyncio.ensure_future(turn.stopped.wait())
        try:
            await asyncio.wait({question, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not question.done():
                return None
            outcome = question.result().outcome
        except (RequestError, ValueError):
            return by_policy([call])
        finally:
            stopped.cancel()
            question.cancel()
        chosen = getattr(outcome, "option_id", None)
        if chosen is None:  # the client was told to stop
            turn.stop()
            return None
        if chosen == "session":
            session.allowed.add(call.name)
        return [Decision(call.id, approve=chosen in ("once", "session"))]

    async def _title(self, session: _Session, text: str) -> None:
        """Call a conversation by what is said in it first."""
        if session.titled:
            return
        session.titled = True
        title = one_line(text, _TITLE)
        await _aside(self._service.conversations.update, session.id, summary=title)
        update = schema.SessionInfoUpdate(session_update="session_info_update", title=title)
        await self._client.session_update(session.id, update)


_STOPS: dict[str, Any] = {
    "max_steps": "max_turn_requests",
    "max_tokens_exceeded": "max_tokens",
    "cancelled": "cancelled",
}


def _response(ended: RunEnded | None) -> schema.PromptResponse:
    if ended is None:
        return schema.PromptResponse(stop_reason="cancelled")
    took = ended.usage
    return schema.PromptResponse(
        stop_reason=_STOPS.get(ended.stop_reason, "end_turn"),
        usage=schema.Usage(
            total_tokens=took.total_tokens,
            input_tokens=took.prompt_tokens,
            output_tokens=took.completion_tokens,
            thought_tokens=took.reasoning_tokens,
            cached_read_tokens=took.cached_tokens,
        ),
    )


async def _aside(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Do work of the service on a thread: the client is heard meanwhile."""
    return await asyncio.to_thread(work, *args, **kwargs)
