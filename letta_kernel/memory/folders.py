"""The files of an agent's folders: opened and closed, searched for lines and by meaning."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.ids import now
from letta_kernel.memory.archival import Archive, Hit
from letta_kernel.records import Folder, OpenFile, StoredFile
from letta_kernel.store import folders, sights
from letta_kernel.store.database import Database, Tx

MOST_OPEN = 5
"""Files an agent has open at once; opening one more closes the one not used for longest."""
VIEW = 15_000
"""Characters of one open file that are shown."""
_PER_PAGE = 20  # matches
_TIMEOUT = 2.0  # seconds for a pattern: some would take for ever


@dataclass(frozen=True, slots=True)
class View:
    """Part of a file, with its lines numbered from 1; ``lines`` is how many the file has."""

    name: str
    text: str
    first: int
    last: int
    lines: int


@dataclass(frozen=True, slots=True)
class FileMatches:
    """Lines that match a pattern, and whether there are more after them."""

    lines: list[str]
    matches: int
    more: bool


class AgentFiles:
    """The files of one agent's folders.

    Files are named ``folder/file`` or, where only one folder has it, by the file's name alone.
    """

    def __init__(self, database: Database, agent_id: str, archive: Archive) -> None:
        self.database = database
        self.agent_id = agent_id
        self._archive = archive

    def open(self, name: str, start: int | None = None, end: int | None = None) -> View:
        """Open a file, or look at other lines of one that is open.

        Raises
        ------
        NotFoundError
            There is no such file; the text names the nearest.
        InvalidInputError
            It has no such lines.
        """

        def work(tx: Tx) -> View:
            file, label = self._file(tx, name)
            view = view_of(file, label, start, end)
            for other in _to_close(folders.open_files(tx, self.agent_id), file.id):
                folders.put_open(tx, other)
            folders.put_open(
                tx,
                OpenFile(
                    agent_id=self.agent_id,
                    file_id=file.id,
                    is_open=True,
                    start_line=start,
                    end_line=end,
                    used_at=now(),
                ),
            )
            return view

        return self.database.run(work)

    def close_all(self) -> list[str]:
        """Close every file and return their ids."""
        return self.database.run(lambda tx: folders.close_all(tx, self.agent_id))

    def grep(
        self, pattern: str, include: str | None = None, context: int = 1, offset: int = 0
    ) -> FileMatches:
        """Find the lines a regular expression matches, with lines around them.

        Raises
        ------
        InvalidInputError
            The pattern is no regular expression, or takes too long.
        """
        try:
            wanted = regex.compile(pattern)
        except regex.error as error:
            raise InvalidInputError(
                f"pattern is no regular expression: {error}; a dot or bracket meant as such needs a backslash."
            ) from None
        files = self.database.run(lambda tx: self._files(tx))
        found: list[str] = []
        matches = 0
        try:
            for label, file in files.items():
                if include and not fnmatch.fnmatch(label, include):
                    continue
                lines = file.content.splitlines()
                for number, line in enumerate(lines):
                    if not wanted.search(line[:10_000], timeout=_TIMEOUT):
                        continue
                    matches += 1
                    if matches <= offset:
                        continue
                    if matches > offset + _PER_PAGE:
                        return FileMatches(found, matches - 1, True)
                    found.append(_around(label, lines, number, context))
        except TimeoutError:
            raise InvalidInputError("The pattern takes too long: make it simpler.") from None
        return FileMatches(found, matches, False)

    def search(self, query: str, limit: int = 5) -> list[tuple[str, Hit]]:
        """Return the passages of the files that answer *query* best, each with its file's name."""
        named = self.database.run(
            lambda tx: {file.id: label for label, file in self._files(tx).items()}
        )
        sight = self.database.run(lambda tx: sights.of_folders(tx, self.agent_id))
        hits = self._archive.search_sight(sight, query, top_k=limit)
        return [(named.get(hit.passage.source or "", "?"), hit) for hit in hits]

    def _files(self, tx: Tx) -> dict[str, StoredFile]:
        attached = {one.id: one for one in folders.list_all(tx, agent_id=self.agent_id)}
        return {
            f"{attached[file.folder_id].name}/{file.name}": file
            for file in folders.files_seen(tx, self.agent_id)
        }

    def _file(self, tx: Tx, name: str) -> tuple[StoredFile, str]:
        files = self._files(tx)
        labels = [label for label in files if label == name] or [
            label for label, file in files.items() if name in (file.name, file.id)
        ]
        if len(labels) > 1:
            raise InvalidInputError(f"Several folders have {name!r}: {', '.join(labels)}.")
        if not labels:
            hint = nearest(name, list(files)) or (
                f" There is: {', '.join(list(files)[:20])}." if files else " There are no files."
            )
            raise NotFoundError(f"There is no file {name!r}.{hint}")
        return files[labels[0]], labels[0]


def view_of(file: StoredFile, label: str, start: int | None = None, end: int | None = None) -> View:
    """Return lines *start* to *end* of a file, or as many as `VIEW` allows.

    Raises
    ------
    InvalidInputError
        The file has no such lines.
    """
    lines = file.content.splitlines() or [""]
    first = start if start is not None else 1
    if not 1 <= first <= len(lines):
        raise InvalidInputError(
            f"{label} has lines 1 to {len(lines):,}; there is no line {first:,}."
        )
    if end is not None and end < first:
        raise InvalidInputError(f"The last line, {end:,}, stands before the first, {first:,}.")
    last = min(len(lines), end if end is not None else len(lines))
    shown: list[str] = []
    size = 0
    for number in range(first, last + 1):
        line = f"{number}: {lines[number - 1]}"
        if size + len(line) > VIEW:
            shown.append(line[: max(0, VIEW - size)] + "…")
            last = number
            break
        shown.append(line)
        size += len(line) + 1
    return View(label, "\n".join(shown), first, last, len(lines))


def describe(
    attached: Sequence[Folder], files: Sequence[StoredFile], seen: Sequence[OpenFile]
) -> str:
    """Return the section of the prompt that shows an agent its folders and open files."""
    if not attached:
        return ""
    is_open = {one.file_id: one for one in seen if one.is_open}
    parts = ["<directories>", f"Files open: {len(is_open)} of at most {MOST_OPEN}."]
    for folder in attached:
        parts.append(f'<directory name="{_inert(folder.name)}">')
        parts += [_inert(text) for text in (folder.description, folder.instructions) if text]
        for file in files:
            if file.folder_id != folder.id:
                continue
            label = f"{folder.name}/{file.name}"
            one = is_open.get(file.id)
            if one is None:
                parts.append(f'<file name="{_inert(label)}" status="closed"/>')
                continue
            try:
                view = view_of(file, label, one.start_line, one.end_line)
            except InvalidInputError:  # replaced by a shorter one
                view = view_of(file, label)
            parts.append(
                f'<file name="{_inert(label)}" status="open" lines="{view.first}-{view.last} of '
                f'{view.lines}">\n{_inert(view.text)}\n</file>'
            )
        parts.append("</directory>")
    parts.append("</directories>")
    return "\n".join(parts)


def _inert(text: str) -> str:
    for name in ("file", "directory", "directories"):
        text = text.replace(f"</{name}>", f"<\\/{name}>")
    return text.replace('"', "'") if "\n" not in text else text


def _to_close(seen: Sequence[OpenFile], opened: str) -> list[OpenFile]:
    others = [one for one in seen if one.is_open and one.file_id != opened]
    return [one.model_copy(update={"is_open": False}) for one in others[MOST_OPEN - 1 :]]


def _around(label: str, lines: Sequence[str], number: int, context: int) -> str:
    first, last = max(0, number - context), min(len(lines), number + context + 1)
    shown = [
        f"{'>' if at == number else ' '} {at + 1}: {lines[at][:500]}" for at in range(first, last)
    ]
    return f"{label}\n" + "\n".join(shown)
