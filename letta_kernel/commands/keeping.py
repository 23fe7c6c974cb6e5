"""Agents as files, recordings of what models answered, and the store as a file."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from letta_kernel.commands.agents import NAME, talked_to
from letta_kernel.commands.door import (
    AGENT,
    MODEL,
    YES,
    Answer,
    Door,
    Notebook,
    Rows,
    Terminal,
    gone,
    how,
)
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import FileTakenError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

GROUP = "Keeping and sharing"

NO_HISTORY = option(
    "Without messages and archive, to share what it is", terminal="--no-history/--history"
)
FORCE = option("Write over a file that is there")
TAPE = argument("The recording", None, free=True, values="file")
STOP = option("No more of it")


@command("export", "agent export", group=GROUP)
def export(
    door: Door,
    agent: AgentState = AGENT,
    file: str | None = argument(
        "The file to write, NAME.af if not given; at a terminal - prints it", None, values="file"
    ),
    legacy: bool = option("In Letta's older form, one flat agent"),
    no_history: bool = NO_HISTORY,
    force: bool = FORCE,
) -> Answer:
    """Write an agent to a file in Letta's format (.af), without secrets."""
    form: Literal["new", "legacy"] = "legacy" if legacy else "new"
    history = not no_history
    if file == "-" and door.at == "terminal":
        data = door.service.agent_files.export(agent.id, form=form, history=history)
        return Answer(json.dumps(data, indent=2, ensure_ascii=False), data, raw=True)
    path = Path(file or _file_name(agent.name)).expanduser()
    if door.at == "terminal" and path.exists() and not force:
        raise InvalidInputError(f"{path} is there already: name another file, or add --force.")
    try:
        door.service.agent_files.export_file(
            agent.id, path, overwrite=force, form=form, history=history
        )
    except FileTakenError:
        raise InvalidInputError(f"{path} is there already: add --force to write over it.") from None
    size = path.stat().st_size
    return Answer(
        f"{agent.name} is in {path} ({size:,} bytes); environment variables and MCP secrets are not.",
        {"agent": agent.id, "file": path},
    )


def _file_name(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    return (kept.lstrip(".") or "agent") + ".af"


@command("import", "agent import", group=GROUP, makes=True)
def import_(
    door: Door,
    file: str = argument(
        "An agent file (.af); at a terminal - reads it from the pipe", values="file"
    ),
    name: str | None = option("What to call it here"),
    model: str | None = MODEL,
    copy: bool = option("Put _copy behind the name", notebook=None),
    no_history: bool = NO_HISTORY,
    again: bool = option("Also if this line has made one before", terminal=None),
) -> Answer:
    """Make an agent from a file in Letta's format (.af); its tools wait for your look."""
    path = Path(file).expanduser()
    key = ""
    if door.at == "notebook":
        key = f"imported:{door.beside(path.resolve())}:{name or ''}"  # type: ignore[attr-defined]
        if not again and (said := _imported(door, path, key)):
            return Answer(said)
    given: dict[str, Any] = {"name": name, "model": model, "history": not no_history}
    if file == "-" and not key:
        came = door.service.agent_files.import_data(sys.stdin.buffer.read(), copy=copy, **given)
    else:
        came = door.service.agent_files.import_file(path, copy=copy, **given)
    if key:
        kept = {"agents": [one.id for one in came.agents], "digest": _digest(path)}
        door.service.settings.put(key, json.dumps(kept))
    return _came(door, came)


def _came(door: Door, came: Any) -> Answer:
    from letta_kernel.display.clean import one_line

    agent, notes = came.agent, []
    names = ", ".join([one.name for one in came.agents] + [one.shown for one in came.groups])
    if door.at == "terminal":
        said = f"Made {names}; {talked_to(door, agent)}"
        notes = [
            f"{tool.name} stays off until you attach it: look at it with letta-kernel tool show {tool.id}, "
            f"then {how(door, 'tools attach', tool.id, agent=agent)}"
            for tool in came.detached
        ]
    else:
        said = f"Made {names}; %agent use {agent.name} talks to it."
        # By its id where the name is another tool's too.
        every = [tool.name for tool in door.service.tools.list()]
        listed = [
            tool.name if every.count(tool.name) == 1 else f"{tool.name} ({tool.id})"
            for tool in came.detached
        ]
        if listed:
            notes.append(
                f"Not attached until you have looked: {', '.join(listed)}. "
                "%agent tools source TOOL shows one, %agent tools attach TOOL gives it."
            )
    return Answer(
        one_line(said, 2000),
        {"agents": came.agents, "detached": came.detached, "notes": came.notes},
        notes=[one_line(line, 2000) for line in [*notes, *came.notes]],
    )


def _imported(door: Door, path: Path, key: str) -> str:
    """Say that the agents of a file are there, if all it made are; else nothing."""
    from letta_kernel.display.clean import one_line

    if not door.has_project or not path.is_file():
        return ""
    kept = json.loads(door.service.settings.get(key) or "{}")
    try:
        agents = [door.service.agents.retrieve(one) for one in kept.get("agents", [])]
    except NotFoundError:
        return ""
    if not agents or any(agent.set_aside for agent in agents):
        return ""
    changed = " The file has changed since." if _digest(path) != kept["digest"] else ""
    names = ", ".join(agent.name for agent in agents)
    return one_line(
        f"Found {names}, made from {path.name} before; %agent use {agents[0].name} talks to it."
        f"{changed} --again makes another.",
        2000,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@command("record", None, group=GROUP)
def record(door: Notebook, file: str | None = TAPE, stop: bool = STOP) -> str:
    """Write down what models answer, to replay it offline."""
    if stop:
        return _end(door, file)
    if file is None:
        return door.recording or "Nothing is recorded or replayed: %agent record FILE begins."
    aside = door.service.recordings.record(file)
    door.recording = f"Recording into {file}; %agent record --stop ends that."
    return door.recording + (f" The recording of before is {aside.name} now." if aside else "")


@command("replay", None, group=GROUP)
def replay(door: Notebook, file: str | None = TAPE, stop: bool = STOP) -> str:
    """Let a recording answer instead of a model."""
    from letta_kernel.display import words

    if stop:
        return _end(door, file)
    if file is None:
        return door.recording or "Nothing is recorded or replayed: %agent replay FILE begins."
    calls = words.count(len(door.service.recordings.replay(file).entries), "call")
    door.recording = f"Replaying {file} ({calls}), without a model; %agent replay --stop ends that."
    return door.recording


def _end(door: Notebook, file: str | None) -> str:
    if file is not None:
        raise InvalidInputError("--stop takes no file.")
    if not door.recording:
        return "Nothing is recorded or replayed."
    door.service.recordings.stop()
    door.recording = ""
    return "Models answer for themselves again; nothing is recorded."


@command("delete", "agent delete", group=GROUP)
def delete(door: Door, name: str = NAME, yes: bool = YES) -> Answer:
    """Delete an agent for good, with its conversation, memory and archive."""

    def work() -> Answer:
        agent = door.agent(name, renamed=False)
        if not door.confirmed(f"Delete {agent.name} with all it knows?", yes):
            return Answer(notes=[f"{agent.name} is still there."], code=1)
        door.service.agents.delete(agent.id)
        door.forget(agent)
        return Answer(f"Deleted {agent.name}.", {"deleted": agent.id})

    return gone(door, work) if yes else work()


@command(None, "backup", group=GROUP)
def backup(
    door: Terminal,
    file: str = argument("The file to write, or a folder", values="file"),
    force: bool = FORCE,
) -> Answer:
    """Write a whole, consistent copy of the store, also while others work with it."""
    target, size = door.service.store.backup(Path(file), replace=force)
    return Answer(
        f"The store is in {target} too ({size / 1e6:.1f} MB).", {"file": target, "bytes": size}
    )


@command(None, "restore", group=GROUP, makes=True)
def restore(
    door: Terminal,
    file: str | None = argument(
        "A file that backup has written, or the name of a daily copy; if not given, those are listed",
        None,
        values="file",
    ),
    yes: bool = YES,
) -> Answer:
    """Put a copy in the store's place; the store that was there is kept beside it."""
    if file is None:
        return _copies(door)
    copy = door.service.store.find_copy(file)
    if door.has_project and not door.confirmed(f"Replace the store in {door.where}?", yes):
        return Answer(notes=["Nothing was changed."], code=1)
    kept = door.service.store.restore(copy)
    told = f" The store before is kept: {kept}." if kept else ""
    return Answer(f"{door.where} holds the copy now.{told}", {"home": door.home, "kept": kept})


def _copies(door: Door) -> Answer:
    """List the copies that were made by themselves."""
    found = door.service.store.copies()
    rows = [
        (one.path.name, f"{one.made.astimezone():%Y-%m-%d %H:%M}", f"{one.size / 1e6:.1f} MB")
        for one in found
    ]
    return Answer(
        data=[{"name": one.path.name, "made": one.made, "bytes": one.size} for one in found],
        rows=lambda: Rows(("name", "made", "size"), rows, f"No copies in {door.where} yet."),
        notes=[f"letta-kernel restore NAME puts one back; they are in {found[0].path.parent}."]
        if found
        else [],
    )


@command("check", "check", group=GROUP)
def check(
    door: Door,
    assertion: str | None = argument(
        "A sentence about an agent's state, such as block human contains Ada",
        None,
        free=True,
        shown="SENTENCE",
    ),
    agent: str | None = option(
        "The agent that the sentence is about; in a notebook the current one, if not given",
        values="agent",
    ),
    strict: bool = option("Let the cell fail where the sentence does not hold"),
    repair: bool = option("Put right what can be; the files as they were are kept beside"),
) -> Answer:
    """Look whether a sentence about an agent's state holds; without one, whether all that was saved is there.

    Sentences, with "not" before one for the contrary:
    block LABEL contains TEXT, lacks TEXT, is TEXT, exists, has at least 2 versions
    archive contains TEXT, has 3 passages, has at least 3 passages, has no passages
    history contains TEXT; answer contains TEXT, lacks TEXT, is TEXT
    tool NAME exists, was called, was called 2 times with species=puffin, failed
    run ended with end_turn, had 3 steps, had at least 3 steps; setting NAME is VALUE
    agent NAME exists; timeline has at least 1 branch

    Only calls that went well count as called. Of what is not there (a block, an answer, a run) nothing holds,
    nor its contrary.
    """
    if assertion is not None:
        return _asserted(door, assertion, agent or door.agent().id, strict)
    report = door.service.store.check(repair=repair)
    data = {
        "home": door.home,
        "findings": [asdict(one) for one in report.findings],
        "repaired": report.repaired,
        "kept": report.kept,
        "unseen": report.unseen,
    }
    if not report.findings:
        whole = f"{door.where} is whole: {report.counts}. {report.unseen}".strip()
        return Answer(whole, data, plain=True)
    lines = [f"{one.what}: {one.text}" for one in report.findings]
    if report.repaired:
        done = "; ".join(dict.fromkeys(one.repair for one in report.findings))
        lines.append(f"Repaired ({done}). There are {report.counts}.")
        if report.kept:
            lines.append(f"The files as they were are in {report.kept}.")
        lines += [report.unseen] if report.unseen else []
        return Answer("\n".join(lines), data, plain=True)
    lines = [f"{line}\n  → {one.repair}" for line, one in zip(lines, report.findings, strict=True)]
    lines += [report.unseen] if report.unseen else []
    told = how(door, "check", "--repair")
    lines.append(f"{told} does what stands behind the arrows; the files as they are stay beside.")
    return Answer("\n".join(lines), data, plain=True, code=1)


def _asserted(door: Door, assertion: str, agent: str, strict: bool) -> Answer:
    finding = door.service.assertions.check(assertion, agent=agent)
    return Answer(
        str(finding),
        finding,
        plain=True,
        problem=str(finding) if strict and not finding else "",
        code=0 if finding else 1,
    )
