"""Folders of files: made, found, attached to agents, deleted."""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from letta_kernel.records import AgentState, Folder
from letta_kernel.service.core import Core, Memories
from letta_kernel.store import folders, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import core
from letta_kernel.tools.file_tools import FILE_TOOLS

MAX_NAME = 200
"""Characters of the name of a folder or a file."""


class Folders:
    """The folders of files of a project; each is named by its id or its name."""

    def __init__(self, core: Core, memories: Memories) -> None:
        self._core = core
        self._memories = memories

    def create(
        self,
        name: str,
        *,
        description: str = "",
        instructions: str = "",
        embedding: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Folder:
        """Make an empty folder; the name must be free.

        Raises
        ------
        ConflictError
            There is a folder of that name.
        """
        made = Folder(
            name=check_name(name, "A folder"),
            description=description,
            instructions=instructions,
            embedding=embedding,
            metadata=metadata or {},
        )

        def work(tx: Tx) -> Folder:
            self._check_free(tx, made.name)
            return folders.add(tx, made)

        return self._core.do(work)

    def retrieve(self, ref: str) -> Folder:
        """Return one folder; `NotFoundError` names the nearest."""
        return self._core.do(lambda tx: self.find(tx, ref))

    def update(self, ref: str, **changes: Any) -> Folder:
        """Change name, description, instructions or metadata; what is None stays."""

        def work(tx: Tx) -> Folder:
            found = self.find(tx, ref)
            given = {key: value for key, value in changes.items() if value is not None}
            if "name" in given and given["name"] != found.name:
                given["name"] = check_name(given["name"], "A folder")
                self._check_free(tx, given["name"])
            return folders.save(tx, found.model_copy(update=given))

        return self._core.do(work)

    def delete(self, ref: str) -> None:
        """Delete a folder with its files, taking it from every agent."""
        folder = self.retrieve(ref)
        self._core.do(lambda tx: folders.delete(tx, folder.id))
        self._memories.embedded_by(folder.embedding)[0].follow()

    def attach(self, ref: str, *, agent: str) -> AgentState:
        """Let an agent have a folder, and the tools that read files with its first one."""

        def work(tx: Tx) -> AgentState:
            state, folder = self._core.agent(tx, agent), self.find(tx, ref)
            folders.attach(tx, state.id, folder.id)
            has = {tool.name for tool in tools.of_agent(tx, state.id)}
            for function in FILE_TOOLS:
                if function.__name__ not in has:
                    tools.give(tx, state.id, core.record(function.__name__))
            return state

        state = self._core.do(work)
        self._memories.of(state)[0].follow()
        return state

    def detach(self, ref: str, *, agent: str) -> AgentState:
        """Take a folder from an agent; with the last one go the tools that read files."""

        def work(tx: Tx) -> AgentState:
            state, folder = self._core.agent(tx, agent), self.find(tx, ref)
            if not folders.detach(tx, state.id, folder.id):
                raise NotFoundError(f"{state.name} does not have the folder {folder.name!r}.")
            if not folders.list_all(tx, agent_id=state.id):
                for function in FILE_TOOLS:
                    tools.detach(tx, state.id, core.record(function.__name__).id)
            return state

        return self._core.do(work)

    def agents(self, ref: str) -> list[str]:
        """Return the ids of the agents a folder is attached to."""
        return self._core.do(lambda tx: folders.agents_with(tx, self.find(tx, ref).id))

    def find(self, tx: Tx, ref: str) -> Folder:
        """Return one folder; `NotFoundError` names the nearest."""
        found = folders.get(tx, ref) or next(iter(folders.list_all(tx, name=ref)), None)
        if found is None:
            names = [one.name for one in folders.list_all(tx)]
            raise NotFoundError(f"There is no folder {ref!r}.{nearest(ref, names)}")
        return found

    @staticmethod
    def _check_free(tx: Tx, name: str) -> None:
        if folders.list_all(tx, name=name):
            raise ConflictError(f"There is a folder named {name!r} already: choose another name.")

    # Last, so that `list` in the annotations above is Python's.
    def list(self, agent: str | None = None, *, name: str | None = None) -> list[Folder]:
        """Return folders, oldest first: all, those of an agent, those of one name."""

        def work(tx: Tx) -> list[Folder]:
            agent_id = self._core.agent(tx, agent).id if agent is not None else None
            return folders.list_all(tx, agent_id=agent_id, name=name)

        return self._core.do(work)


def check_name(name: str, what: str) -> str:
    """Return *name* without signs that cannot be seen, if it can name *what*."""
    name = re.sub(r"[\x00-\x1f\x7f]", "", name).strip()
    if not name or name in (".", ".."):
        raise InvalidInputError(f"{what} needs a name.")
    if len(name) > MAX_NAME:
        raise InvalidInputError(f"{what}'s name has at most {MAX_NAME} characters.")
    return name
