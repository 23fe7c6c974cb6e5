"""Folders of files: made, filled, attached to agents, opened for them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from letta_kernel.ids import now
from letta_kernel.memory import chunking, files
from letta_kernel.memory.folders import FileShelf
from letta_kernel.records import AgentState, Folder, OpenFile, Passage, StoredFile
from letta_kernel.service.toolbox import Toolbox
from letta_kernel.store import folders, passages, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import core
from letta_kernel.tools.file_tools import FILE_TOOLS

MAX_NAME = 200
"""Characters of the name of a folder or a file."""
MAX_TEXT = 20_000_000
"""Characters of text one file may hold."""

Duplicates = Literal["skip", "error", "suffix", "replace"]


class Folders(Toolbox):
    """The part of the service that deals with folders; each is named by its id or its name."""

    def create_folder(
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
            name=_name(name, "A folder"),
            description=description,
            instructions=instructions,
            embedding=embedding,
            metadata=metadata or {},
        )

        def work(tx: Tx) -> Folder:
            self._check_free(tx, made.name)
            return folders.add(tx, made)

        return self.do(work)

    def folders(self, *, agent: str | None = None, name: str | None = None) -> list[Folder]:
        """Return folders, oldest first: all, those of an agent, those of one name."""

        def work(tx: Tx) -> list[Folder]:
            agent_id = self._agent(tx, agent).id if agent is not None else None
            return folders.list_all(tx, agent_id=agent_id, name=name)

        return self.do(work)

    def folder(self, ref: str) -> Folder:
        """Return one folder; `NotFoundError` names the nearest."""
        return self.do(lambda tx: self._folder(tx, ref))

    def update_folder(self, ref: str, **changes: Any) -> Folder:
        """Change name, description, instructions or metadata; what is None stays."""

        def work(tx: Tx) -> Folder:
            found = self._folder(tx, ref)
            given = {key: value for key, value in changes.items() if value is not None}
            if "name" in given and given["name"] != found.name:
                given["name"] = _name(given["name"], "A folder")
                self._check_free(tx, given["name"])
            return folders.save(tx, found.model_copy(update=given))

        return self.do(work)

    def delete_folder(self, ref: str) -> None:
        """Delete a folder with its files, taking it from every agent."""
        folder = self.folder(ref)
        self.do(lambda tx: folders.delete(tx, folder.id))
        self._memories_with(folder.embedding)[0].follow()

    # -- files ---------------------------------------------------------------------------------------

    def add_folder_file(
        self,
        ref: str,
        name: str,
        data: bytes,
        *,
        media_type: str = "",
        duplicates: Duplicates = "suffix",
    ) -> StoredFile:
        """Put a file into a folder: its text is kept, cut into passages and made findable.

        Parameters
        ----------
        name : what it is called; folders before the name are left out.
        data : text, Markdown, PDF, a notebook or a web page.
        duplicates : what to do where the folder has a file of that name: keep the old one (``skip``), raise
            (``error``), call the new one ``name_(1)`` (``suffix``), or take the new one (``replace``).

        Raises
        ------
        InvalidInputError
            It holds no text that can be read, or too much.
        ConflictError
            The folder has a file of that name, and *duplicates* says so.
        """
        original = PurePath(name.replace("\\", "/")).name
        name = _name(original, "A file")
        text = _text(name, data)
        pieces = chunking.chunks(text)
        folder = self.folder(ref)

        def work(tx: Tx) -> StoredFile:
            there = folders.files_of(tx, [self._folder(tx, folder.id).id], name=name)
            final = name
            if there and duplicates == "skip":
                return there[0]
            if there and duplicates == "error":
                raise ConflictError(f"The folder {folder.name!r} has a file {name!r} already.")
            if there and duplicates == "replace":
                for old in there:
                    folders.delete_file(tx, old)
            elif there:
                taken = {one.name for one in folders.files_of(tx, [folder.id])}
                final = _free(name, taken)
            file = StoredFile(
                folder_id=folder.id,
                name=final,
                original_name=original,
                media_type=media_type or "text/plain",
                size=len(data),
                chunks=len(pieces),
                content=text,
            )
            folders.add_file(tx, file)
            passages.append(tx, _passages(file, pieces))
            return file

        file = self.do(work)
        self._memories_with(folder.embedding)[0].follow()
        return file

    def folder_files(self, ref: str) -> list[StoredFile]:
        """Return the files of a folder, oldest first."""
        return self.do(lambda tx: folders.files_of(tx, [self._folder(tx, ref).id]))

    def folder_file(self, ref: str, file_id: str) -> StoredFile:
        """Return one file of a folder, with its text."""
        return self.do(lambda tx: self._file(tx, self._folder(tx, ref), file_id))

    def delete_folder_file(self, ref: str, file_id: str) -> None:
        """Delete a file of a folder."""
        folder = self.folder(ref)
        self.do(lambda tx: folders.delete_file(tx, self._file(tx, folder, file_id)))
        self._memories_with(folder.embedding)[0].follow()

    # -- agents --------------------------------------------------------------------------------------

    def attach_folder(self, agent: str, ref: str) -> AgentState:
        """Let an agent have a folder, and the tools that read files with its first one."""

        def work(tx: Tx) -> AgentState:
            state, folder = self._agent(tx, agent), self._folder(tx, ref)
            folders.attach(tx, state.id, folder.id)
            has = {tool.name for tool in tools.of_agent(tx, state.id)}
            for function in FILE_TOOLS:
                if function.__name__ not in has:
                    tools.give(tx, state.id, core.record(function.__name__))
            return state

        state = self.do(work)
        self._memory_of(state)[0].follow()
        return state

    def detach_folder(self, agent: str, ref: str) -> AgentState:
        """Take a folder from an agent; with the last one go the tools that read files."""

        def work(tx: Tx) -> AgentState:
            state, folder = self._agent(tx, agent), self._folder(tx, ref)
            if not folders.detach(tx, state.id, folder.id):
                raise NotFoundError(f"{state.name} does not have the folder {folder.name!r}.")
            if not folders.list_all(tx, agent_id=state.id):
                for function in FILE_TOOLS:
                    tools.detach(tx, state.id, core.record(function.__name__).id)
            return state

        return self.do(work)

    def agents_with_folder(self, ref: str) -> list[str]:
        """Return the ids of the agents a folder is attached to."""
        return self.do(lambda tx: folders.agents_with(tx, self._folder(tx, ref).id))

    def agent_files(self, agent: str) -> list[tuple[Folder, StoredFile, OpenFile]]:
        """Return every file an agent can reach, with its folder and how the agent sees it."""

        def work(tx: Tx) -> list[tuple[Folder, StoredFile, OpenFile]]:
            state = self._agent(tx, agent)
            attached = {one.id: one for one in folders.list_all(tx, agent_id=state.id)}
            seen = {one.file_id: one for one in folders.open_files(tx, state.id)}
            return [
                (
                    attached[file.folder_id],
                    file,
                    seen.get(file.id)
                    or OpenFile(agent_id=state.id, file_id=file.id, used_at=file.created_at),
                )
                for file in folders.files_of(tx, list(attached))
            ]

        return self.do(work)

    def open_file(self, agent: str, file_id: str) -> list[str]:
        """Open a file for an agent; return the ids of files that were closed for it."""
        shelf = self._shelf(agent)
        before = self._open_ids(agent)
        shelf.open(file_id)
        return sorted(before - self._open_ids(agent))

    def close_file(self, agent: str, file_id: str) -> None:
        """Close a file for an agent; `NotFoundError` where it cannot reach the file."""
        known = {file.id: seen for _, file, seen in self.agent_files(agent)}
        if file_id not in known:
            raise NotFoundError(f"{self.agent(agent).name} has no file {file_id!r}.")
        seen = known[file_id].model_copy(update={"is_open": False, "used_at": now()})
        self.do(lambda tx: folders.put_open(tx, seen))

    def close_all_files(self, agent: str) -> list[str]:
        """Close every file of an agent and return their ids."""
        return self._shelf(agent).close_all()

    def _open_ids(self, agent: str) -> set[str]:
        return {file.id for _, file, seen in self.agent_files(agent) if seen.is_open}

    def _shelf(self, agent: str) -> FileShelf:
        return self._context(self.agent(agent)).files

    def _folder(self, tx: Tx, ref: str) -> Folder:
        found = folders.get(tx, ref) or next(iter(folders.list_all(tx, name=ref)), None)
        if found is None:
            names = [one.name for one in folders.list_all(tx)]
            raise NotFoundError(f"There is no folder {ref!r}.{nearest(ref, names)}")
        return found

    @staticmethod
    def _file(tx: Tx, folder: Folder, file_id: str) -> StoredFile:
        found = folders.get_file(tx, file_id)
        if found is None or found.folder_id != folder.id:
            raise NotFoundError(f"The folder {folder.name!r} has no file {file_id!r}.")
        return found

    @staticmethod
    def _check_free(tx: Tx, name: str) -> None:
        if folders.list_all(tx, name=name):
            raise ConflictError(f"There is a folder named {name!r} already: choose another name.")


def _name(name: str, what: str) -> str:
    name = re.sub(r"[\x00-\x1f\x7f]", "", name).strip()
    if not name or name in (".", ".."):
        raise InvalidInputError(f"{what} needs a name.")
    if len(name) > MAX_NAME:
        raise InvalidInputError(f"{what}'s name has at most {MAX_NAME} characters.")
    return name


def _text(name: str, data: bytes) -> str:
    # The readers of files go by a file's ending; nothing of the name given is used as a path.
    ending = PurePath(name).suffix[:20]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending if ending.isascii() else ''}"
        path.write_bytes(data)
        try:
            text = files.read(path).text
        except InvalidInputError as error:
            raise InvalidInputError(str(error).replace(path.name, name)) from None
    if len(text) > MAX_TEXT:
        raise InvalidInputError(
            f"{name} holds {len(text):,} characters of text; at most {MAX_TEXT:,} are kept."
        )
    return text


def _passages(file: StoredFile, pieces: Sequence[str]) -> list[Passage]:
    return [
        Passage(
            agent_id=file.folder_id,
            content=piece,
            source=file.id,
            position=number,
            metadata={"file": file.name},
            created_at=file.created_at,
        )
        for number, piece in enumerate(pieces)
    ]


def _free(name: str, taken: set[str]) -> str:
    path = PurePath(name)
    number = 1
    while (other := f"{path.stem}_({number}){path.suffix}") in taken:
        number += 1
    return other
