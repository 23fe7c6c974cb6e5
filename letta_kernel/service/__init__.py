"""The way in to agents: the kernel, the server and the command line all come through `AgentService`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from letta_kernel.agent.context import ContextPart, ContextReport
from letta_kernel.agent.decisions import Decision
from letta_kernel.models import keys
from letta_kernel.service.agent_file.files import AgentFiles, Imported
from letta_kernel.service.agent_views import AgentView
from letta_kernel.service.agents import Agents, Opened
from letta_kernel.service.archives import Archives
from letta_kernel.service.assertions import Assertions
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.compare import Compare
from letta_kernel.service.conversations import Conversations
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.explain import Explain
from letta_kernel.service.explanation import Explanation, Reason
from letta_kernel.service.files import FileAdded, FileProgress, Files
from letta_kernel.service.folders import Folders
from letta_kernel.service.forks import Forks
from letta_kernel.service.grants import Grants
from letta_kernel.service.groups import Groups
from letta_kernel.service.identities import Identities
from letta_kernel.service.mcp import McpServers
from letta_kernel.service.messages import Messages
from letta_kernel.service.passages import Passages
from letta_kernel.service.people import People
from letta_kernel.service.plots import Plots
from letta_kernel.service.preparation import Preparation
from letta_kernel.service.recordings import Recordings
from letta_kernel.service.reporting import Reports
from letta_kernel.service.runner import Runner
from letta_kernel.service.runs import Runs, Steps
from letta_kernel.service.servers import Servers
from letta_kernel.service.skills import FoundSkill, Skills
from letta_kernel.service.sleeptime import Sleeptime
from letta_kernel.service.sql import Sql
from letta_kernel.service.store import ProjectSettings, Store
from letta_kernel.service.subagents import Subagents
from letta_kernel.service.timeline import Times
from letta_kernel.service.tokens import AccessTokens
from letta_kernel.service.tools import Tools
from letta_kernel.service.traces.tracing import Tracing

__all__ = [
    "AgentService",
    "AgentView",
    "ContextPart",
    "ContextReport",
    "Decision",
    "Explanation",
    "FileAdded",
    "FileProgress",
    "FoundSkill",
    "Imported",
    "Opened",
    "Reason",
]


class AgentService:
    """All agents of one project folder, and what they have: one part for each noun.

    Parameters
    ----------
    home : the project folder; by default ``LETTA_HOME``, or ``.letta`` beside the notebook or where the process
        began. It is made on first use. Several services, in several processes, may share one folder.
    store : where its rows are, as in ``LETTA_STORE``, which counts if this is None; empty is a file in *home*.
    index : where its vector index is, as in ``LETTA_INDEX``, likewise; empty is *home*.

    Attributes
    ----------
    agents, blocks, archives, passages : who there is, and what they remember.
    conversations, messages, runs, steps : what was said and done; ``runs.send`` talks to an agent.
    forks : agents as they were at a point in time, under another name or their own.
    explain : what a step was made of and did, and why words stand in memory.
    timeline : what agents were, step by step, and how two such points differ.
    plots : the figures that plots of an agent show.
    assertions : whether sentences about an agent's state hold.
    groups : agents that are talked to together.
    compare : one message to variants of agents, side by side.
    tools, mcp, skills, folders, files, identities : what agents are given.
    sql, reports : read-only queries over all of that; what a report of a conversation is made of.
    agent_files, recordings, settings, store : agents as files, models' answers on file, the project itself.
    tokens : what lets clients of a server in.
    servers : the servers of the project, and what each of them carries out.
    grants : what other people may with agents.
    people : the persons of a server of many, in the store that is their registry.
    sleeptime : other agents that tidy an agent's memory while it rests.
    events : what the runs of this process tell, as they go on.
    traces : tells a collector of them, if it is turned on.
    deliveries : lets agents read what others left for them, where a process that lives on starts it.

    The verbs are the same in all of them: create, retrieve, list, update, delete, attach, detach, search. What
    a method is about comes first, whose it is follows as ``agent=``, ``archive=`` or ``folder=``.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        store: str | None = None,
        *,
        index: str | None = None,
        keys_beside: bool = True,
    ) -> None:
        core = Core(home, store, index)
        self.home = core.home
        self.database = core.database
        self._keys_back = keys.look_beside(self.home) if keys_beside else lambda: None
        self._memories = memories = Memories(core)
        self.recordings = Recordings()
        self.events = EventLog()
        self.settings = ProjectSettings(core)
        self.tokens = AccessTokens(core)
        self.identities = Identities(core)
        self.mcp = McpServers(core)
        self.tools = Tools(core, memories, self.mcp.connections)
        self.grants = Grants(core, self.tools)
        self.people = People(core)
        self.agents = Agents(core, memories, self.tools)
        self.blocks = Blocks(core)
        self.archives = Archives(core, memories)
        self.passages = Passages(core, memories, self.archives)
        self.folders = Folders(core, memories)
        self.files = Files(core, memories, self.folders)
        self.conversations = Conversations(core)
        self.forks = Forks(core)
        self.timeline = Times(core)
        self.skills = Skills(core)
        preparation = Preparation(core, memories, self.tools, self.recordings, self.skills)
        self.messages = Messages(core, memories, preparation, self.recordings)
        self.traces = Tracing(core, self.events)
        runner = Runner(
            core,
            memories,
            self.tools,
            self.mcp,
            preparation,
            self.recordings,
            self.events,
            self.skills,
            self.traces,
        )
        runner.subagents = self.subagents = Subagents(
            core, self.agents, self.blocks, self.tools, self.forks
        )
        self.deliveries = runner.deliveries
        self.runs = Runs(core, preparation, self.recordings, runner)
        self.compare = Compare(self.agents, self.blocks, self.tools, self.runs, self.forks)
        self.deliveries.first.append(self.compare.tidy)
        if not self.database.in_file:  # a file's is cleaned by who closes it
            self.deliveries.chores.daily["purge"] = self.passages.purge_due
        self.groups = Groups(core, runner, self.runs, self.events)
        self.agent_files = AgentFiles(core, self.groups)
        self.steps = Steps(core)
        self.explain = Explain(core, self.blocks)
        self.plots = Plots(
            core,
            memories,
            self.blocks,
            self.passages,
            self.runs,
            self.timeline,
            self.explain,
        )
        self.sleeptime = Sleeptime(core, memories, self.agents, runner, self.recordings)
        self.deliveries.chores.nudges.append(self.sleeptime.look)
        self.sql = Sql(core)
        self.reports = Reports(core)
        self.store = Store(core)
        self.servers = Servers(core)
        self.assertions = Assertions(
            agents=self.agents,
            blocks=self.blocks,
            passages=self.passages,
            messages=self.messages,
            tools=self.tools,
            runs=self.runs,
            timeline=self.timeline,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def warm(self) -> None:
        """Open the store and load what the first request would wait for; nothing where there is no project.

        Raises
        ------
        StoreError
            The store cannot be opened now.
        """
        if self.database.exists():
            self.passages.warm()

    def close(self) -> None:
        """End what was started here and let go of the database; what was acknowledged is on disk already."""
        self.servers.close()
        self.deliveries.close()
        self.sleeptime.close()
        self.traces.close()
        self.mcp.close()
        self._memories.close()
        self.database.close()
        self._keys_back()
