"""One turn of a group in a cell: its events to the live view, stop, approvals, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.api.added_tools import added_to
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.display.live import LiveView
from letta_kernel.messages import ApprovalRequested, Event, GroupEnded, RunStarted, ToolCall, worded
from letta_kernel.notebook.approvals import PREFERENCES
from letta_kernel.notebook.beside.pictures import with_named
from letta_kernel.notebook.figures import Figures
from letta_kernel.notebook.output import AgentError, Stopped, say
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.notebook.run import STOPPED, RunContext, asked_person, close, free_calls
from letta_kernel.notebook.turn import Turn
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import Group
from letta_kernel.stop_reasons import failed


def send(
    session: RunContext,
    group: Group,
    text: str,
    *,
    pictures: Sequence[Picture] = (),
    max_steps: int | None = None,
    model: str | None = None,
    names: str = "",
    context: str | None = None,
    step: bool = False,
) -> None:
    """Send *text*, with *pictures*, to a group and show its turn in the cell until it has ended.

    What is given is as for `letta_kernel.notebook.run.send`.
    """
    text, pictures = with_named(session, names, text, pictures)
    service, groups = session.service, session.service.groups
    session.functions.load()
    turns: dict[str, Turn] = {}
    for agent_id in group.everyone:
        session.grants.turn_begins(agent_id)
        added_to(agent_id).refresh(service)
        turns[agent_id] = Turn(session, agent_id)
    view = LiveView(text, shell=session.shell, streaming=PREFERENCES.streaming)
    figures = Figures(session.shell)
    debugs = {one: session.debugger.of(service, one, view, step) for one in group.everyone}

    def live(event: Event) -> None:
        if isinstance(event, RunStarted) and event.agent_id in turns:
            turns[event.agent_id].run_id = event.run_id
        view.handle(figures.at_its_call(worded(event, WORDS, named=True)))

    def each(agent_id: str) -> Any:
        return {
            "host": session.host_of(agent_id, turns[agent_id]),
            "turn_tools": session.grants.offered(service, agent_id),
            "beside": session.beside_of(names, context),
            "debug": debugs.get(agent_id),
        }

    options: dict[str, Any] = {
        "live": live,
        "wait": True,
        "max_steps": max_steps,
        "model": model,
        "each": each,
    }
    events = groups.send(group.id, text, pictures, **options)
    ended: GroupEnded | None = None
    try:
        while True:
            waiting: list[ToolCall] = []
            for event in events:  # the view has had it through `live` already
                if isinstance(event, ApprovalRequested):
                    waiting = event.calls
                elif isinstance(event, GroupEnded):
                    ended = worded(event, WORDS, named=True)
            if ended is None or not ended.waits or not waiting:
                break
            agent_id = ended.waits
            offered = session.grants.offered(service, agent_id)
            free = free_calls(waiting, offered)
            passed = {one.call_id for one in free}
            asked = [call for call in waiting if call.id not in passed]
            decisions = asked_person(session, agent_id, asked, view, turns[agent_id])
            if decisions is None:
                name = service.agents.retrieve(agent_id).name
                say(
                    session.shell,
                    f"{group.shown} waits for your word: %agent approve --agent {name}, or %agent deny.",
                )
                break
            session.grants.note(service, agent_id, asked, decisions)
            events = groups.approve(group.id, [*decisions, *free], agent=agent_id, **options)
    except KeyboardInterrupt:
        raise Stopped(STOPPED) from None
    finally:
        with Uninterrupted():
            close(events)
            figures.close()
            view.close()
    if ended is not None and ended.stop_reason == "cancelled":
        raise Stopped(STOPPED)
    if ended is not None and failed(ended.stop_reason):
        text = ended.error or f"The turn ended with {ended.stop_reason}."
        raise AgentError(
            text, f"The turn failed ({ended.stop_reason}); {group.shown} is ready again."
        )
