"""A turn of a session: a prompt, the runs it takes, and the questions to a person on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from acp import schema
from acp.exceptions import RequestError

from letta_kernel.commands.approvals import by_policy, described
from letta_kernel.commands.spec import Policy
from letta_kernel.display.clean import one_line
from letta_kernel.errors import LettaError
from letta_kernel.messages import ApprovalRequested, RunEnded, ToolCall, Usage
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import AgentState, Tool
from letta_kernel.server.acp.servers import SessionServers
from letta_kernel.server.acp.updates import Updates, asked
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed

_TITLE = 80  # characters of a session's title

OPTIONS = [
    schema.PermissionOption(option_id="once", name="Allow once", kind="allow_once"),
    schema.PermissionOption(
        option_id="session", name="Allow this tool in this session", kind="allow_always"
    ),
    schema.PermissionOption(option_id="no", name="Reject", kind="reject_once"),
]


@dataclass(slots=True)
class Turn:
    """A prompt that is being answered."""

    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    run: LiveRun | None = None

    def stop(self) -> None:
        """End it; what was said and done so far is kept."""
        self.stopped.set()
        if self.run is not None:
            self.run.cancel()


@dataclass(slots=True)
class Session:
    """A conversation that a client has open."""

    id: str
    conversation: str | None  # None: the agent's own thread
    mode: Policy
    titled: bool
    allowed: set[str] = field(default_factory=set)  # names of tools, until the client leaves
    used: Usage = field(default_factory=Usage)  # since it was opened
    servers: SessionServers | None = None
    lent: Sequence[Tool] = ()  # what these offer in the turn that goes on
    turn: Turn | None = None


class Turns:
    """Carries out the turns of one agent's sessions.

    Parameters
    ----------
    service
        The project's agents.
    agent
        Which of them.
    runs
        Where its runs go on.
    """

    def __init__(self, service: AgentService, agent: AgentState, runs: RunManager) -> None:
        self._service, self._agent, self._runs = service, agent, runs
        self.client: Any = None

    async def answered(
        self, session: Session, turn: Turn, text: str, pictures: Sequence[Picture] = ()
    ) -> RunEnded | None:
        """Send a message and return how the turn ended; None if it was stopped before anything was sent."""
        updates = Updates()
        await self._lend(session, updates)
        waiting = await asyncio.to_thread(
            self._service.runs.pending, self._agent.id, session.conversation
        )
        if waiting:  # since a turn that was stopped, or at another door
            before = await self._decided(session, turn, updates, waiting)
            if before is not None:
                ended = await self._run(session, turn, updates, before)
                if ended is None or ended.stop_reason == "cancelled" or failed(ended.stop_reason):
                    return ended
        if turn.stopped.is_set():
            return None
        await self._title(session, text)
        return await self._run(session, turn, updates, text, pictures=pictures)

    async def _lend(self, session: Session, updates: Updates) -> None:
        """Find out what the servers of the client offer now."""
        servers = session.servers
        if servers is None:
            return

        def read() -> tuple[list[Tool], list[str]]:
            return servers.tools(one.name for one in self._service.tools.list(self._agent.id))

        session.lent, problems = await asyncio.to_thread(read)
        for line in problems:
            await self.client.session_update(session.id, updates.aside(line))

    async def _run(
        self,
        session: Session,
        turn: Turn,
        updates: Updates,
        message: str | list[Decision],
        **options: Any,
    ) -> RunEnded | None:
        """Follow a run, and those that go on from it; None if it was stopped before it began."""
        while not turn.stopped.is_set():
            turn.run = run = await self._runs.start_async(
                self._agent.id,
                message,
                conversation=session.conversation,
                turn_tools=session.lent,
                **options,
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
                        session.used += event.usage
                    for update in updates.of(event):
                        await self.client.session_update(session.id, update)
            if not calls:
                await self._tell_use(session)
                return ended
            decisions = await self._decided(session, turn, updates, calls)
            if decisions is None:
                return None if turn.stopped.is_set() else ended
            message, options = decisions, {}
        return None

    async def _decided(
        self, session: Session, turn: Turn, updates: Updates, calls: Sequence[ToolCall]
    ) -> list[Decision] | None:
        """Return what becomes of calls that need a person's word; None leaves them waiting."""
        decisions = []
        for call in calls:
            for update in updates.waiting(call):
                await self.client.session_update(session.id, update)
            if session.mode is Policy.ask and call.name in session.allowed:
                found: list[Decision] | None = [Decision(call.id, approve=True)]
            elif session.mode is Policy.ask:
                found = await self._asked(session, turn, call)
            else:
                found = by_policy([call], session.mode, "the session's mode is to deny")
            if found is None:
                if not turn.stopped.is_set():
                    line = updates.aside(f"It waits for your word on {described(call)}.")
                    await self.client.session_update(session.id, line)
                return None
            decisions += found
        return decisions

    async def _asked(self, session: Session, turn: Turn, call: ToolCall) -> list[Decision] | None:
        """Ask the person about one call; a client that cannot ask leaves it to the policy."""
        question = asyncio.ensure_future(
            self.client.request_permission(session.id, asked(call), OPTIONS)
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

    async def _tell_use(self, session: Session) -> None:
        """Tell how full the context window is, and what the session has cost."""
        with suppress(LettaError):  # it is said beside the answer, which is there
            report = await asyncio.to_thread(
                self._service.runs.context, self._agent.id, session.conversation
            )
            cost = session.used.cost
            update = schema.UsageUpdate(
                session_update="usage_update",
                used=report.used,
                size=report.window,
                cost=None if cost is None else schema.Cost(amount=cost, currency="USD"),
            )
            await self.client.session_update(session.id, update)

    async def _title(self, session: Session, text: str) -> None:
        """Call a conversation by what is said in it first."""
        if session.titled:
            return
        session.titled = True
        title = one_line(text, _TITLE)
        await asyncio.to_thread(self._service.conversations.update, session.id, summary=title)
        update = schema.SessionInfoUpdate(session_update="session_info_update", title=title)
        await self.client.session_update(session.id, update)
