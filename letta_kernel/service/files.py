"""Files of folders: kept, read, deleted, opened and closed for agents, or read into archival memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.memory import chunking, files
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.folders import AgentFiles
from letta_kernel.models.base import Cancel
from letta_kernel.records import Folder, OpenFile, Passage, StoredFile
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.folders import Folders, check_name
from letta_kernel.store import folders, passages, sights
from letta_kernel.store.database import Tx

_BATCH = 200  # passages kept in one transaction


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far it has come: file number ``file`` of ``files``, passage ``done`` of ``passages`` in it."""

    path: Path
    file: int
    files: int
    done: int
    passages: int


@dataclass(frozen=True, slots=True)
class FileAdded:
    """What became of one file; ``passages`` were added now, ``why`` says why a file could not be."""

    path: Path
    status: Literal["added", "known", "failed"]
    passages: int = 0
    why: str = ""


def read_files(
    core: Core,
    archive: Archive,
    agent_id: str,
    paths: Iterable[str | os.PathLike[str]],
    tags: Sequence[str],
    progress: Callable[[FileProgress], None],
    reason: str,
) -> list[FileAdded]:
    """Keep the text of files in *archive* for an agent; what `Passages.add_files` does."""
    found = files.find(paths)
    added = []
    for number, path in enumerate(found, 1):
        progress(FileProgress(path, number, len(found), 0, 0))
        try:
            content = files.read(path)
        except InvalidInputError as error:
            if len(found) == 1:
                raise
            added.append(FileAdded(path, "failed", why=str(error)))
            continue

        def report(done: int, whole: int, path: Path = path, number: int = number) -> None:
            progress(FileProgress(path, number, len(found), done, whole))

        count = _keep(core, archive, agent_id, content, tags, report, reason)
        added.append(FileAdded(path, "added" if count else "known", count))
    return added


def _keep(
    core: Core,
    archive: Archive,
    agent_id: str,
    content: files.FileText,
    tags: Sequence[str],
    report: Callable[[int, int], None],
    reason: str,
) -> int:
    """Keep the passages of one file that are not there yet; return how many those were."""
    pieces = chunking.chunks(content.text)
    pages = content.pages_of(pieces)
    source = f"file-{content.digest[:32]}"
    owner = archive.writes_to(agent_id)
    last = core.do(
        lambda tx: passages.last_position(tx, owner, source, sights.of_agent(tx, agent_id))
    )
    begin = 0 if last is None else last + 1
    moment = now()
    for at in range(begin, len(pieces), _BATCH):
        batch = [
            Passage(
                agent_id=owner,
                content=piece,
                tags=list(dict.fromkeys(tags)),
                source=source,
                position=at + offset,
                metadata={
                    "file": content.path.name,
                    "sha256": content.digest,
                    **_page(pages[at + offset]),
                },
                created_at=moment,
                reason=reason,
            )
            for offset, piece in enumerate(pieces[at : at + _BATCH])
        ]
        archive.insert_many(batch)
        report(at + len(batch), len(pieces))
    return max(len(pieces) - begin, 0)


def _page(number: int | None) -> dict[str, int]:
    return {} if number is None else {"page": number}


MAX_TEXT = 20_000_000
"""Characters of text one file may hold."""

Duplicates = Literal["skip", "error", "suffix", "replace"]


class Files:
    """The files of a project, each in a folder; agents open them to see their text."""

    def __init__(self, core: Core, memories: Memories, all_folders: Folders) -> None:
        self._core = core
        self._memories = memories
        self._folders = all_folders

    def create(
        self,
        name: str,
        data: bytes,
        *,
        folder: str,
        media_type: str = "",
        duplicates: Duplicates = "suffix",
        cancel: Cancel | None = None,
    ) -> StoredFile:
        """Put a file into a folder: its text is kept, cut into passages and made findable.

        Parameters
        ----------
        name : what it is called; folders before the name are left out.
        data : text, Markdown, PDF, a notebook or a web page.
        duplicates : what to do where the folder has a file of that name: keep the old one (``skip``), raise
            (``error``), call the new one ``name_(1)`` (``suffix``), or take the new one (``replace``).
        cancel : ends the reading.

        Raises
        ------
        InvalidInputError
            It holds no text that can be read, or too much, or reading it takes too long.
        ConflictError
            The folder has a file of that name, and *duplicates* says so.
        """
        original = PurePath(name.replace("\\", "/")).name
        name = check_name(original, "A file")
        content = _text(name, data, cancel)
        text, pieces = content.text, chunking.chunks(content.text)
        pages = content.pages_of(pieces)
        into = self._folders.retrieve(folder)

        def work(tx: Tx) -> StoredFile:
            there = folders.files_of(tx, [self._folders.find(tx, into.id).id], name=name)
            final = name
            if there and duplicates == "skip":
                return there[0]
            if there and duplicates == "error":
                raise ConflictError(f"The folder {into.name!r} has a file {name!r} already.")
            if there and duplicates == "replace":
                for old in there:
                    folders.delete_file(tx, old)
            elif there:
                taken = {one.name for one in folders.files_of(tx, [into.id])}
                final = _free(name, taken)
            file = StoredFile(
                folder_id=into.id,
                name=final,
                original_name=original,
                media_type=media_type or "text/plain",
                size=len(data),
                chunks=len(pieces),
                content=text,
            )
            folders.add_file(tx, file)
            passages.append(tx, _passages(file, pieces, pages))
            return file

        file = self._core.do(work)
        self._memories.embedded_by(into.embedding)[0].follow()
        return file

    def retrieve(self, file_id: str, *, folder: str) -> StoredFile:
        """Return one file of a folder, with its text."""
        return self._core.do(lambda tx: self._file(tx, self._folders.find(tx, folder), file_id))

    def delete(self, file_id: str, *, folder: str) -> None:
        """Delete a file of a folder."""
        found = self._folders.retrieve(folder)
        self._core.do(lambda tx: folders.delete_file(tx, self._file(tx, found, file_id)))
        self._memories.embedded_by(found.embedding)[0].follow()

    def of_agent(self, agent: str) -> list[tuple[Folder, StoredFile, OpenFile]]:
        """Return every file an agent can reach, with its folder and how the agent sees it."""

        def work(tx: Tx) -> list[tuple[Folder, StoredFile, OpenFile]]:
            state = self._core.agent(tx, agent)
            attached = {one.id: one for one in folders.list_all(tx, agent_id=state.id)}
            seen = {one.file_id: one for one in folders.open_files(tx, state.id)}
            return [
                (
                    attached[file.folder_id],
                    file,
                    seen.get(file.id)
                    or OpenFile(agent_id=state.id, file_id=file.id, used_at=file.created_at),
                )
                for file in folders.files_seen(tx, state.id)
            ]

        return self._core.do(work)

    def open(self, file_id: str, *, agent: str) -> list[str]:
        """Open a file for an agent; return the ids of files that were closed for it."""
        files = self._agent_files(agent)
        before = self._open_ids(agent)
        files.open(file_id)
        return sorted(before - self._open_ids(agent))

    def close(self, file_id: str, *, agent: str) -> None:
        """Close a file for an agent; `NotFoundError` where it cannot reach the file."""
        known = {file.id: seen for _, file, seen in self.of_agent(agent)}
        if file_id not in known:
            raise NotFoundError(f"{self._core.find_agent(agent).name} has no file {file_id!r}.")
        seen = known[file_id].model_copy(update={"is_open": False, "used_at": now()})
        self._core.do(lambda tx: folders.put_open(tx, seen))

    def close_all(self, agent: str) -> list[str]:
        """Close every file of an agent and return their ids."""
        return self._agent_files(agent).close_all()

    def _open_ids(self, agent: str) -> set[str]:
        return {file.id for _, file, seen in self.of_agent(agent) if seen.is_open}

    def _agent_files(self, agent: str) -> AgentFiles:
        state = self._core.find_agent(agent)
        return AgentFiles(self._core.database, state.id, self._memories.of(state)[0])

    @staticmethod
    def _file(tx: Tx, folder: Folder, file_id: str) -> StoredFile:
        found = folders.get_file(tx, file_id)
        if found is None or found.folder_id != folder.id:
            raise NotFoundError(f"The folder {folder.name!r} has no file {file_id!r}.")
        return found

    # Last, so that `list` in the annotations above is Python's.
    def list(self, *, folder: str) -> list[StoredFile]:
        """Return the files of a folder, oldest first."""
        return self._core.do(lambda tx: folders.files_of(tx, [self._folders.find(tx, folder).id]))


def _text(name: str, data: bytes, cancel: Cancel | None) -> files.FileText:
    # The readers of files go by a file's ending; nothing of the name given is used as a path.
    ending = PurePath(name).suffix[:20]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending if ending.isascii() else ''}"
        path.write_bytes(data)
        try:
            content = files.read(path, cancel)
        except InvalidInputError as error:
            raise InvalidInputError(str(error).replace(path.name, name)) from None
    if len(content.text) > MAX_TEXT:
        raise InvalidInputError(
            f"{name} holds {len(content.text):,} characters of text; at most {MAX_TEXT:,} are kept."
        )
    return content


def _passages(
    file: StoredFile, pieces: Sequence[str], pages: Sequence[int | None]
) -> list[Passage]:
    return [
        Passage(
            agent_id=file.folder_id,
            content=piece,
            source=file.id,
            position=number,
            metadata={"file": file.name, **_page(page)},
            created_at=file.created_at,
            reason="folder",
        )
        for number, (piece, page) in enumerate(zip(pieces, pages, strict=True))
    ]


def _free(name: str, taken: set[str]) -> str:
    path = PurePath(name)
    number = 1
    while (other := f"{path.stem}_({number}){path.suffix}") in taken:
        number += 1
    return other
