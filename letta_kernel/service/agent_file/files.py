"""Agent files: an agent as one JSON document in Letta's format (``.af``), to keep, share or move.

No secret goes out: environment variables lose their values, MCP servers their headers and environment. What
comes in is untrusted: built-in tools are ours, every other tool stays detached until a person has looked at its
source, servers and models of this machine are never taken from a file, and a bad file changes nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from letta_kernel import private
from letta_kernel.agent import prompts
from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import FileTakenError, InvalidInputError
from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Block, Group, McpServer, Passage, Tool
from letta_kernel.service.agent_checks import check_name
from letta_kernel.service.agent_file import groups as file_groups
from letta_kernel.service.agent_file import messages as file_messages
from letta_kernel.service.agent_file import parse, write
from letta_kernel.service.agent_file.parse import OURS
from letta_kernel.service.agent_file.read import (
    ImportedAgent,
    block_of,
    foreign_tools,
    imported_agent,
    left_out,
)
from letta_kernel.service.core import CAME_WITH, Core
from letta_kernel.service.groups import Groups
from letta_kernel.store import (
    agents,
    blocks,
    mcp,
    messages,
    passages,
    pictures,
    settings,
    sights,
    tools,
)
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin

FORM = "1"  # of what we keep under `OURS`
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Imported:
    """What a file gave: agents, groups, the tools that wait for a person, and what was left out and why."""

    agents: list[AgentState] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    detached: list[Tool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def agent(self) -> AgentState:
        """The first agent, the only one in most files."""
        return self.agents[0]


@dataclass(slots=True)
class _Held:
    """What a file that is written holds so far, each thing once, by its id here."""

    names: dict[str, str]  # what agents and groups are called in the file
    room: int  # bytes of pictures that each agent may have
    blocks: dict[str, Block] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    servers: dict[str, McpServer] = field(default_factory=dict)
    messages: int = 0


class AgentFiles:
    """Writes and reads agent files."""

    def __init__(self, core: Core, groups: Groups) -> None:
        self._core, self._groups = core, groups

    def export(
        self,
        ref: str,
        *,
        form: Literal["new", "legacy"] = "new",
        history: bool = True,
        conversation: str | None = None,
    ) -> dict[str, Any]:
        """Return an agent as a JSON-ready agent file, without secrets.

        The groups that it manages go along, with their agents.

        Parameters
        ----------
        form : ``legacy`` is Letta's older form, one flat agent, without its groups.
        history : False leaves out all messages and passages, to share what the agent is.
        conversation : export the messages of that conversation instead of the agent's own thread.
        """

        def work(tx: Tx) -> dict[str, Any]:
            return self._exported(tx, ref, history, conversation, form == "new")

        data = self._core.do(work)
        return data if form == "new" else parse.to_legacy(data, data["metadata"][OURS])

    def import_data(
        self,
        data: Any,
        *,
        name: str | None = None,
        copy: bool = False,
        model: str | None = None,
        embedding: str | None = None,
        environment: dict[str, str] | None = None,
        history: bool = True,
        namesakes: Literal["copy", "keep"] = "copy",
        replace_tools: bool = False,
    ) -> Imported:
        """Make the agents and groups of an agent file, in either form, in one transaction.

        Parameters
        ----------
        data : the file's bytes or text, or its JSON value.
        name, model, embedding : instead of the file's. A name that is taken gets ``_copy`` at its end, unless
            *namesakes* says to keep both. *name* is the first one's where others came with its groups.
        copy : put ``_copy`` at the end of the name in any case.
        environment : the variables of the agent's sandboxed tools, whose values no file holds.
        history : False leaves out all messages and passages.
        replace_tools : a tool that is here by the name of one of the file's, and runs from its source, gets the
            file's source, without a network; agents that have it keep it.

        Raises
        ------
        InvalidInputError
            The file is wrong or too large; nothing was changed.
        """
        file = parse.parse(data)
        result = Imported()
        shared = {one.id: block_of(one) for one in file.blocks}
        imports: list[ImportedAgent] = []
        for agent in file.agents:
            imported = imported_agent(agent, file, shared, history, result.notes)
            state = imported.state
            called = agent.name if imports else name or agent.name
            state.name = check_name(called) + ("_copy" if copy else "")
            state.model, state.embedding = model or state.model, embedding or state.embedding
            if environment:
                state.settings = check_settings({**state.settings, "environment": environment})
            imports.append(imported)
        teams = file_groups.groups_of(file, imports, shared, result.notes)
        if name is not None and len(file.agents) > 1 and not teams:
            raise InvalidInputError(
                f"The file holds {len(file.agents)} agents: they cannot all have one name."
            )
        foreign = foreign_tools(file, result.notes)
        asked_for = {one for agent in file.agents for one in agent.tool_ids or ()}
        result.notes += left_out(file)

        def work(tx: Tx) -> Imported:
            for found in (result.agents, result.groups, result.detached):
                found.clear()
            made: set[str] = set()
            waiting = [(file_id, _keep(tx, tool, replace_tools)) for file_id, tool in foreign]
            result.detached.extend({tool.id: tool for _, tool in waiting}.values())
            for imported, agent in zip(imports, file.agents, strict=True):
                if namesakes == "copy":
                    imported.state.name = check_name(_free_name(tx, imported.state.name))
                state = self._write(tx, imported, made)
                result.agents.append(state)
                had = set(agent.tool_ids or ())
                came = {
                    tool.id: file_id in had
                    for file_id, tool in waiting
                    if file_id in had or file_id not in asked_for
                }
                if came:
                    settings.put(tx, f"{CAME_WITH}{state.id}", json.dumps(came))
            unused = {one.id: one for one in shared.values() if one.id not in made}
            for team in teams:
                group = team.model_copy(update={"name": self._groups.spare_name(tx, team.name)})
                for block_id in group.shared_block_ids:
                    if block_id in unused:
                        blocks.add(
                            tx, unused.pop(block_id), group.agent_ids[0], reason="agent file"
                        )
                if (
                    group.manager_type == "sleeptime"
                ):  # what came with the file has been tidied there
                    newest = messages.last(tx, str(group.manager_agent_id))
                    group.turns_counter = 0
                    group.last_processed_message_id = newest.id if newest else None
                result.groups.append(self._groups.add(tx, group))
            return result

        return self._core.do(work)

    def export_file(self, ref: str, path: Path, *, overwrite: bool = False, **options: Any) -> Path:
        """Write an agent to a file, whole or not at all; *options* as `export` takes them.

        An earlier export of the same agent is written over, other files only with *overwrite*.
        """
        data = self.export(ref, **options)
        overwrite = overwrite or _exported_from(path) == self._core.find_agent(ref).id
        if path.exists() and (not overwrite or path.is_dir()):
            raise FileTakenError(f"{path} is there already: choose another name, or overwrite it.")
        temp = path.with_name(f"{path.name}.part")
        try:
            private.write(temp, json.dumps(data, indent=2, ensure_ascii=False))
            os.replace(temp, path)
        except OSError as error:
            temp.unlink(missing_ok=True)
            raise InvalidInputError(f"{path} cannot be written: {error.strerror}.") from None
        return path

    def import_file(self, path: Path, **options: Any) -> Imported:
        """Make the agents of a file; *options* as `import_data` takes them."""
        try:
            with path.open("rb") as opened:
                data = opened.read(parse.MAX_BYTES + 1)
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from None
        return self.import_data(data, **options)

    def _write(self, tx: Tx, imported: ImportedAgent, made: set[str]) -> AgentState:
        state = imported.state.model_copy()
        agents.add(tx, state)
        for block in imported.blocks:
            if block.id in made:
                blocks.attach(tx, state.id, block.id)
            else:
                blocks.add(tx, block, state.id, reason="agent file")
                made.add(block.id)
        for tool_name in imported.built_in:
            tools.give(tx, state.id, builtin.record(tool_name))
        messages.append(tx, state.id, imported.before)
        summary = messages.append(tx, state.id, imported.summary)
        seen = messages.append(tx, state.id, imported.seen)
        newest = max((m.seq for m in (*summary, *seen)), default=len(imported.before))
        state.window_start = seen[0].seq if seen else newest + 1
        state.summary_id = summary[0].id if summary else None
        agents.set_window(tx, state.id, state.window_start, state.summary_id)
        passages.append(
            tx, [one.model_copy(update={"agent_id": state.id}) for one in imported.passages]
        )
        return state

    # -- the way out -----------------------------------------------------------------------------

    def _exported(
        self, tx: Tx, ref: str, history: bool, conversation: str | None, together: bool
    ) -> dict[str, Any]:
        state = self._core.thread(tx, ref, conversation)
        teams = file_groups.managed(tx, state.id) if together else []
        ids = list(dict.fromkeys([state.id, *(one for team in teams for one in team.agent_ids)]))
        if len(ids) > parse.MAX_AGENTS:
            raise InvalidInputError(
                f"{state.name} manages {len(ids) - 1} agents, a file holds {parse.MAX_AGENTS}: use the older"
                " form, which leaves its groups out."
            )
        names = {one: f"agent-{n}" for n, one in enumerate(ids)}
        names |= {team.id: f"group-{n}" for n, team in enumerate(teams)}
        held = _Held(names, room=parse.MAX_BYTES // 2 // len(ids))
        entries = [
            self._entry(tx, one, history, held)
            for one in [state, *(self._core.agent(tx, other) for other in ids[1:])]
        ]
        entries[0]["group_ids"] = [names[team.id] for team in teams]
        entries[0]["enable_sleeptime"] = any(one.manager_type == "sleeptime" for one in teams)
        block_ids = {one: f"block-{n}" for n, one in enumerate(held.blocks)}
        return {
            "agents": entries,
            "groups": [file_groups.to_file(team, names, block_ids) for team in teams],
            "blocks": [write.block(one, block_ids[one.id]) for one in held.blocks.values()],
            "files": [],
            "sources": [],
            "tools": [
                write.tool(tool, f"tool-{n}", held.servers)
                for n, tool in enumerate(held.tools.values())
            ],
            "mcp_servers": [
                write.server(server, f"mcp_server-{n}")
                for n, server in enumerate(held.servers.values())
            ],
            "metadata": {OURS: FORM},
            "created_at": now().isoformat(),
        }

    def _entry(self, tx: Tx, state: AgentState, history: bool, held: _Held) -> dict[str, Any]:
        """Return one agent of a file; what it has is added to *held*."""
        agent_id = held.names[state.id]
        own = blocks.of_agent(tx, state.id)
        held.blocks |= {one.id: one for one in own}
        attached = tools.of_agent(tx, state.id)
        waiting = _waiting(tx, state.id, {tool.name for tool in attached})
        for tool in (*attached, *(tool for tool, _ in waiting)):
            held.tools.setdefault(tool.id, tool)
        for tool in attached:
            server = (
                mcp.get(tx, str(tool.metadata.get("server_id"))) if tool.kind == "mcp" else None
            )
            if server is not None:
                held.servers.setdefault(server.id, server)
        stored: list[Message] = []
        kept: list[Passage] = []
        if history:
            stored = messages.page(tx, state.id, thread=state.thread, limit=parse.MAX_MESSAGES)
            stored = pictures.filled(tx, stored, held.room)[::-1]  # the newest first
            kept = passages.page(
                tx, sights.of_agent(tx, state.id, own=True), limit=parse.MAX_PASSAGES
            )[::-1]
        system = state.instructions or prompts.INSTRUCTIONS[state.style]
        system = "" if system.isspace() else system
        first = Message(agent_id=state.id, role="system", content=system)
        first.created_at = stored[0].created_at if stored else state.created_at
        model = None if parse.stays_here(state.model) else state.model
        said = [
            file_messages.to_file(message, f"message-{number}", agent_id, model)
            for number, message in enumerate(
                file_groups.renamed([first, *stored], held.names), held.messages
            )
        ]
        held.messages += len(said)
        ids = {message.id: entry["id"] for message, entry in zip(stored, said[1:], strict=True)}
        seen = [
            ids[message.id]
            for message in stored
            if message.seq >= state.window_start and message.role != "summary"
        ]
        summary = [ids[state.summary_id]] if state.summary_id in ids else []
        block_places, tool_places = list(held.blocks), list(held.tools)
        has = [*attached, *(tool for tool, had in waiting if had)]
        return {
            **write.agent(state, agent_id, system),
            "tool_ids": [f"tool-{tool_places.index(tool.id)}" for tool in has],
            "block_ids": [f"block-{block_places.index(one.id)}" for one in own],
            "messages": said,
            "in_context_message_ids": [said[0]["id"], *summary, *seen],
            "passages": write.passages(kept),
        }


def _exported_from(path: Path) -> str | None:
    """Return the id of the agent whose export a file is; None if it is none of ours."""
    try:
        if path.stat().st_size > parse.MAX_BYTES:
            return None
        data = json.loads(path.read_bytes())
        agent = data["agents"][0] if "agents" in data else data
        return str((agent.get("metadata") or agent["metadata_"])[OURS]["exported"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _waiting(tx: Tx, agent_id: str, attached: set[str]) -> list[tuple[Tool, bool]]:
    """Return the tools that came with an agent's file and it has not got, and whether it had them there."""
    kept = settings.get(tx, f"{CAME_WITH}{agent_id}")
    came = [(tools.get(tx, tool_id), had) for tool_id, had in json.loads(kept or "{}").items()]
    return [(tool, had) for tool, had in came if tool is not None and tool.name not in attached]


def _free_name(tx: Tx, name: str) -> str:
    """Return *name*, or with ``_copy`` and a number at its end if an agent has it already."""
    free, number = name, 1
    while agents.named(tx, free):
        free = f"{name}_copy{number if number > 1 else ''}"
        number += 1
    return free


def _keep(tx: Tx, tool: Tool, replace: bool) -> Tool:
    """Keep a foreign tool; one with the same source is not kept twice.

    With *replace* it takes the place of one of its name that runs from its source.
    """
    namesakes = [one for one in tools.list_all(tx) if one.name == tool.name]
    for one in namesakes:
        if (one.source, one.parameters) == (tool.source, tool.parameters):
            return one
    ours = [one for one in namesakes if one.kind == "source"]
    if replace and ours:
        known = max(ours, key=lambda one: one.updated_at)
        kept = known.model_dump(include={"id", "tags"})
        kept["requires_approval"] = known.requires_approval or tool.requires_approval
        return tools.save(tx, tool.model_copy(update=kept))
    if namesakes:  # of several the one changed last goes by the name: that must not be a stranger
        tool = tool.model_copy(update={"updated_at": _LONG_AGO})
    return tools.save(tx, tool)
