"""Where an experiment's agents live: in a project of their own, or as hidden forks of an agent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from letta_kernel import private
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.models import keys
from letta_kernel.project import project_folder
from letta_kernel.records import AgentState, Tool
from letta_kernel.service import AgentService
from letta_kernel.service.experiments.cases import Case, Variant
from letta_kernel.service.experiments.plan import Plan
from letta_kernel.service.experiments.results import Results
from letta_kernel.tools.discovery import found_in
from letta_kernel.tools.execute import ToolHost

NAME = "agent"
"""What agents are called that are made for a case: the same for all, for a prompt might say it."""
OWN_ARCHIVE = "its own"
"""The archive of an agent that knows a conversation, for what it keeps itself."""
PURPOSE = "eval"


class Stage:
    """Makes an agent for each trial, and takes it away.

    Parameters
    ----------
    results : where a project of their own may lie meanwhile, and which forks there are.
    project : the user's project: whose agent is forked, and whose tools variants name; None if there is none.
    host : where functions of that agent live.
    """

    def __init__(
        self,
        plan: Plan,
        results: Results,
        project: AgentService | None,
        host: ToolHost | None = None,
    ) -> None:
        self._plan = plan
        self._host = host
        self._made = results.folder / "forks"
        self._project = project
        self._lock = threading.Lock()
        self._archives: dict[tuple[str, str | None], str] = {}
        self._tools: dict[
            str, Tool
        ] = {}  # of the user's project, and functions, as they are kept here
        self._live: dict[str, Callable[..., Any]] = {}  # functions by their tools' ids
        self._base: AgentState | None = None
        if plan.agent is not None:
            if project is None:
                raise NotFoundError(f"There is no agent {plan.agent!r}: there is no project here.")
            self._base = project.agents.retrieve(plan.agent)
        # Keys lie beside the user's project, not beside a folder of results.
        home = project_folder() if project is None else project.home
        self._keys_back = keys.look_beside(home)
        if self._base is not None and project is not None:
            self.service = project
            self._clear()
        else:
            self.service = AgentService(results.work, store="", index="")

    def close(self) -> None:
        """Let go of the project that was made for it."""
        if self._base is None:
            self.service.close()
        else:
            self._clear()
        self._keys_back()

    def check(self) -> None:
        """Find the tools of all variants; `NotFoundError` names the first that there is not."""
        for variant in self._plan.variants:
            for tool in variant.tools:
                self._tool(tool)

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function that was given as *tool*, or that the forked agent has as one."""
        found = self._live.get(tool.id)
        if found is None and self._host is not None and self._base is not None:
            return self._host.lookup(tool)
        return found

    @property
    def has_functions(self) -> bool:
        """Whether functions of this process are among the tools."""
        own = [] if self._base is None else self.service.tools.list(self._base.id)
        return any(
            callable(one) for variant in self._plan.variants for one in variant.tools
        ) or any(one.runs_in == "notebook" and self.lookup(one) is not None for one in own)

    def agent(self, case: Case, variant: Variant) -> AgentState:
        """Make the agent that does *case* as *variant* says.

        Raises
        ------
        LettaError
            It cannot be made: a block is too long, or there is no such tool.
        """
        base = self._base
        state = self._new(case, variant) if base is None else self._forked(base, variant)
        try:
            if base is not None:
                for label, text in {**variant.blocks, **case.blocks}.items():
                    self.service.blocks.upsert(label, text, agent=state.id, reason="experiment")
            if case.dialogue:
                self._give_dialogue(state, case.dialogue, variant.embedding)
            for text in case.passages:
                self.service.passages.create(text, agent=state.id, reason="experiment")
            for tool in variant.tools:
                self.service.tools.attach(self._tool(tool).id, agent=state.id)
            for name in variant.without_tools:
                self.service.tools.detach(name, agent=state.id)
        except BaseException:
            self.away(state)
            raise
        return state

    def away(self, state: AgentState) -> None:
        """Take an agent away that has done its case, where it is not in a project that goes anyway."""
        if self._base is not None:
            self.service.agents.delete(state.id)
            with suppress(OSError):
                (self._made / state.id).unlink(missing_ok=True)

    def _new(self, case: Case, variant: Variant) -> AgentState:
        given: dict[str, Any] = {
            "model": variant.model,
            "embedding": variant.embedding,
            "instructions": variant.instructions,
            "settings": variant.settings,
            "style": variant.style,
            "max_steps": variant.max_steps,
            "core_tools": variant.core_tools,
        }
        return self.service.agents.create(
            NAME,
            namesakes="keep",
            blocks={**variant.blocks, **case.blocks},
            **{key: value for key, value in given.items() if value is not None},
        )

    def _forked(self, base: AgentState, variant: Variant) -> AgentState:
        """Return a hidden fork of an agent, changed as a variant says."""
        fork = self.service.forks.fork(base.id, base.name, purpose=PURPOSE)
        private.folder(self._made)
        private.write(self._made / fork.id, "")  # so that one that is left by a kill is found
        given: dict[str, Any] = {
            "model": variant.model,
            "instructions": variant.instructions,
            "style": variant.style,
            "max_steps": variant.max_steps,
            "settings": variant.settings or None,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        if variant.core_tools is not None:
            own = [tool.id for tool in self.service.tools.list(fork.id) if tool.kind != "core"]
            changes["tool_refs"] = [*variant.core_tools, *own]
        try:
            if changes:
                self.service.agents.update(fork.id, namesakes="keep", **changes)
        except BaseException:
            self.away(fork)
            raise
        return fork

    def _clear(self) -> None:
        """Delete functions kept as tools of the project, and forks that a killed process left."""
        for left in self._made.glob("agent-*"):
            with suppress(NotFoundError):
                self.service.agents.delete(left.name)
            left.unlink(missing_ok=True)
        for left in self._made.glob("tool-*"):
            with suppress(NotFoundError):
                self.service.tools.delete(left.name)
            left.unlink(missing_ok=True)

    def _give_dialogue(self, state: AgentState, dialogue: str, embedding: str | None) -> None:
        """Let an agent find a conversation; what it keeps goes into an archive of its own, attached first."""
        own = self.service.archives.create(OWN_ARCHIVE, embedding=embedding)
        for archive in (own.id, self._archive(dialogue, embedding)):
            self.service.archives.attach(archive, agent=state.id)

    def _archive(self, dialogue: str, embedding: str | None) -> str:
        """Return the archive that holds a conversation, made at first."""
        with self._lock:
            known = self._archives.get((dialogue, embedding))
            if known is None:
                known = self.service.archives.create(
                    f"talk {dialogue}"[:200], embedding=embedding
                ).id
                self.service.passages.insert(
                    self._plan.dialogues[dialogue].passages(), archive=known
                )
                self._archives[dialogue, embedding] = known
            return known

    def _tool(self, given: Any) -> Tool:
        """Return a tool that a variant names, or a function that it has, as it is kept here."""
        with self._lock:
            name = given if isinstance(given, str) else f"{given.__module__}.{given.__qualname__}"
            if name not in self._tools:
                self._tools[name] = self._kept(given)
            return self._tools[name]

    def _kept(self, given: Any) -> Tool:
        if not isinstance(given, str):
            found = found_in(given, getattr(given, "__name__", type(given).__name__), None)
            # A notebook of its own: the project's tools of that name stay as they are.
            fresh = found.record(notebook=new_id("experiment"))
            if self._base is not None:
                private.folder(self._made)
                private.write(self._made / fresh.id, "")
            tool = self.service.tools.upsert(fresh)
            self._live[tool.id] = given
            return tool
        if self._project is None or self.service is self._project:
            return self.service.tools.retrieve(given)
        tool = self._project.tools.retrieve(given)
        if tool.runs_in == "mcp":
            raise InvalidInputError(
                f"{given} runs on an MCP server, which agents made for an experiment do not reach."
            )
        return self.service.tools.upsert(tool)
