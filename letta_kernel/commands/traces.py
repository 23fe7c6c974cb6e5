"""Runs as spans, for OpenTelemetry's collectors and as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from letta_kernel.commands.door import ANY_AGENT, Answer, Door, how
from letta_kernel.commands.keeping import FORCE
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import FileTakenError, InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState
    from letta_kernel.service.traces.tracing import Status

GROUP = "Keeping and sharing"


@command("trace", "trace", group=GROUP)
def trace(door: Door) -> Answer:
    """Show whether runs are told to an OpenTelemetry collector, and how that goes."""
    return _told(door, door.service.traces.status())


@command("trace on", "trace on", group=GROUP, makes=True)
def trace_on(
    door: Door,
    endpoint: str | None = option(
        "The collector's URL; else OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318",
        shown="URL",
    ),
    content: bool = option("What was said and done too, without keys and passwords"),
) -> Answer:
    """Tell an OpenTelemetry collector of all runs from now on, in every process of the project.

    OTEL_EXPORTER_OTLP_HEADERS holds what lets you in there, OTEL_SERVICE_NAME how this is called; the other
    variables of OpenTelemetry count too. A collector that does not answer is said once, and its spans are
    dropped: no run waits for it. docs/how-to/traces.md lists the attributes.
    """
    return _told(door, door.service.traces.turn_on(endpoint, content=content))


@command("trace off", "trace off", group=GROUP)
def trace_off(door: Door) -> Answer:
    """Tell no collector of runs any more."""
    return _told(door, door.service.traces.turn_off())


@command("trace save", "trace save", group=GROUP)
def trace_save(
    door: Door,
    file: str = argument(
        "The file to write: NAME.jsonl, or NAME.parquet", values="file", free=True
    ),
    agent: AgentState | None = ANY_AGENT,
    everybody: bool = option("The runs of all agents", terminal=None),
    content: bool = option("What was said and done too, without keys and passwords"),
    force: bool = FORCE,
) -> Answer:
    """Write runs that are over to a file as spans: an agent's, or at a terminal all.

    JSON lines and Parquet have the same columns: ids, name, times, agent, model, tool, tokens, cost, error,
    and all attributes.
    """
    whose = None if everybody or agent is None else agent.id
    path = Path(file).expanduser()
    try:
        count = door.service.traces.save(path, whose, content=content, overwrite=force)
    except FileTakenError:
        raise InvalidInputError(f"{path} is there already: add --force to write over it.") from None
    size = path.stat().st_size
    return Answer(
        f"{count:,} spans are in {path} ({size:,} bytes).", {"file": path, "spans": count}
    )


def _told(door: Door, status: Status) -> Answer:
    data = asdict(status)
    if not status.on:
        return Answer(f"Runs are told to nobody: {how(door, 'trace on')} begins.", data)
    what = "with what was said" if status.content else "without what was said"
    notes = [f"{status.sent:,} spans have arrived"] if status.sent else []
    if status.problem:
        notes = [f"{status.dropped:,} spans were dropped: {status.problem}"]
    return Answer(f"Runs are told to {status.endpoint}, {what}.", data, notes=notes)
