"""Files on disk into archival memory: each once, in batches, going on where it was stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import now
from letta_kernel.memory import chunking, files
from letta_kernel.memory.archival import Archive
from letta_kernel.records import Passage
from letta_kernel.service.core import Core
from letta_kernel.store import passages

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

        count = _keep(core, archive, agent_id, content, tags, report)
        added.append(FileAdded(path, "added" if count else "known", count))
    return added


def _keep(
    core: Core,
    archive: Archive,
    agent_id: str,
    content: files.FileText,
    tags: Sequence[str],
    report: Callable[[int, int], None],
) -> int:
    """Keep the passages of one file that are not there yet; return how many those were."""
    pieces = chunking.chunks(content.text)
    source = f"file-{content.digest[:32]}"
    owner = archive.writes_to(agent_id)
    last = core.do(lambda tx: passages.last_position(tx, owner, source))
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
                metadata={"file": content.path.name, "sha256": content.digest},
                created_at=moment,
            )
            for offset, piece in enumerate(pieces[at : at + _BATCH])
        ]
        archive.insert_many(batch)
        report(at + len(batch), len(pieces))
    return max(len(pieces) - begin, 0)
