"""The archive: texts and files put into it, searched, listed, deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.arguments import split
from letta_kernel.commands.conversation import AS_OF, FROM, PAGE, QUERY, TO, TOP
from letta_kernel.commands.door import AGENT, LIMIT, TAGS, Answer, Door, Rows, gone, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from letta_kernel.records import AgentState, Passage
    from letta_kernel.service import FileAdded, FileProgress

GROUP = "Memory"

_WORTH_SAYING = 100  # passages the index lacks; fewer it has before anybody could read of it


@command("archival", "archive list", group=GROUP, lists=True)
def list_passages(
    door: Door,
    agent: AgentState = AGENT,
    limit: int | None = LIMIT,
    superseded: bool = option("Only what other passages have replaced"),
    forgotten: bool = option("What was forgotten and can be restored"),
    as_of: str | None = AS_OF,
) -> Answer:
    """List the newest passages of its archive, those that were replaced struck through."""
    from letta_kernel.display.panels import passages_table

    embedder, done, newest = door.service.passages.indexed(agent.id)
    if newest - done >= _WORTH_SAYING and door.at == "notebook":
        door.say(
            f"Indexed for {embedder} up to passage {done:,} of {newest:,}, more in the background; "
            "searches read the rest."
        )
    most = limit or (20 if door.at == "notebook" else 50)
    if superseded + forgotten + (as_of is not None) > 1:
        raise InvalidInputError(
            "--superseded, --forgotten and --as-of do not go together: choose one."
        )
    if forgotten:
        found = [one for one, _ in door.service.passages.forgotten(agent.id)][:most]
    elif as_of is not None:
        hits = door.service.passages.search("", agent=agent.id, top_k=most, as_of=as_of)
        found = [hit.passage for hit in hits]
    else:
        found = door.service.passages.list(agent.id, most, superseded=superseded or None)
    rows = [[one.created_at, one.content, ", ".join(one.tags), one.id] for one in found]
    return Answer(
        data=found,
        panel=lambda: passages_table(found, door.service.passages.origins(found)),
        rows=lambda: _with_origin(
            door, ["kept", "text", "tags", "id"], rows, found, "The archive is empty."
        ),
    )


def _with_origin(
    door: Door, columns: list[str], rows: list[list[Any]], passages: Sequence[Passage], empty: str
) -> Rows:
    """Return rows with where their passages come from, last, so that the other columns keep their places.

    What has replaced them stands behind that, where anything has.
    """
    origins = door.service.passages.origins(passages)
    told = [[*row, str(origin)] for row, origin in zip(rows, origins, strict=True)]
    columns = [*columns, "origin"]
    if any(one.superseded_by for one in passages):
        columns.append("superseded by")
        told = [[*row, one.superseded_by or ""] for row, one in zip(told, passages, strict=True)]
    return Rows(columns, told, empty)


@command("archival add", "archive add", group=GROUP)
def add(
    door: Door,
    agent: AgentState = AGENT,
    text: str | None = argument(
        "A text of any length, in a notebook also files (paths, folders, patterns); at a terminal - reads "
        "it from the pipe",
        None,
        free=True,
        values="file",
        required="notebook",
    ),
    file: list[str] | None = option(
        "A text, Markdown, notebook, web page or PDF, a folder or a pattern; may be repeated",
        notebook=None,
        terminal="--file -f",
        values="file",
    ),
    tags: list[str] | None = TAGS,
    tag: list[str] | None = option("The same as --tags", terminal=None),
    supersedes: list[str] | None = option(
        "Ids of passages that the text replaces", values="passage"
    ),
) -> Answer:
    """Put a text, or files, into its archive."""
    if (text is None) == (not file):
        raise InvalidInputError("Give a text, or files with --file.")
    words = [*(tags or ()), *(tag or ())]
    reason = "%agent archival add" if door.at == "notebook" else "letta-kernel archive add"
    paths = file or (_paths(text or "") if door.at == "notebook" else [])
    if supersedes and paths:
        raise InvalidInputError("A text supersedes passages, files do not: leave --supersedes out.")
    if paths:
        with door.progress() as draw:
            added = door.service.passages.add_files(
                paths, words, _drawing(draw), agent=agent.id, reason=reason
            )
        return _report(door, agent.name, added)
    made, new = door.service.passages.remember(
        door.text(text or ""), words, agent=agent.id, reason=reason, supersedes=supersedes or ()
    )
    parts = "" if len(made) == 1 else f" in {len(made)} passages"
    said = f"{agent.name} has it in its archive{parts}{'' if new else ' already'} ({made[0].id})."
    return Answer(said, made)


def _paths(text: str) -> list[str]:
    """Return the files *text* names if it names files and nothing else; else it is a text itself."""
    from letta_kernel.memory import files

    if os.path.exists(os.path.expanduser(text)):
        return [text]  # a name with blanks, of which the quotes are gone
    named = [word.text for word in split(text)]
    if text != text.strip() or "\n" in text or not all(map(files.looks_like_path, named)):
        return []
    return named


def _drawing(draw: Callable[[float, str], None]) -> Callable[[FileProgress], None]:
    from letta_kernel.display.clean import one_line

    def show(step: FileProgress) -> None:
        inside = step.done / step.passages if step.passages else 0.0
        share = (step.file - 1 + inside) / step.files
        draw(share, f"{one_line(step.path.name, 80)} ({step.file} of {step.files}) {share:.0%}")

    return show


def _report(door: Door, agent: str, added: list[FileAdded]) -> Answer:
    # Three outcomes may come together, and each door wants them as a sentence, as figures and as an exit
    # code.
    from letta_kernel.display import words

    new = [one for one in added if one.status == "added"]
    known = [one for one in added if one.status == "known"]
    failed = [one for one in added if one.status == "failed"]
    said = []
    if new:
        passages = words.count(sum(one.passages for one in new), "passage")
        said.append(f"{agent} has {words.count(len(new), 'file')} more in its archive ({passages})")
    if known:
        said.append(f"{len(known)} known already")
    if failed:
        said.append(" ".join(one.why for one in failed))
    nothing = failed and not new and not known and door.at == "notebook"
    figures = [
        {"path": one.path, "status": one.status, "passages": one.passages, "why": one.why}
        for one in added
    ]
    return Answer(
        " · ".join(said) + ("" if failed else "."),
        figures,
        rows=lambda: Rows(["file", "", "passages", ""], [list(one.values()) for one in figures]),
        problem=said[0] if nothing else "",
        code=1 if failed else 0,
    )


@command("archival search", "archive search", group=GROUP)
def search(
    door: Door,
    agent: AgentState = AGENT,
    query: str = QUERY,
    tags: list[str] | None = option(
        "Only those with one of these tags, or all: --match all", terminal="--tag -t"
    ),
    match: str = option("Any or all of the tags", "any", values="match", shown="any|all"),
    from_: str | None = FROM,
    to: str | None = TO,
    limit: int = TOP,
    page: int = PAGE,
    as_of: str | None = AS_OF,
    include_superseded: bool = option("Also what other passages have replaced"),
) -> Answer:
    """Search its archive by words and meaning, best first; dates are in its time zone."""
    from letta_kernel.display.panels import passages_table
    from letta_kernel.service.passages import for_person

    hits = for_person(
        query,
        door.service.passages.search(
            query,
            agent=agent.id,
            tags=tags or None,
            match=match,
            top_k=limit,
            page=page - 1,
            start=from_,
            end=to,
            as_of=as_of,
            include_superseded=include_superseded,
        ),
    )
    passages = [hit.passage for hit in hits]
    rows = [
        [f"{hit.score:.2f}", one.created_at, one.content, ", ".join(one.tags), one.id]
        for hit, one in zip(hits, passages, strict=True)
    ]
    columns = ["score", "kept", "text", "tags", "id"]
    return Answer(
        data=[{"score": hit.score, "passage": hit.passage} for hit in hits],
        panel=lambda: passages_table(hits, door.service.passages.origins(passages)),
        rows=lambda: _with_origin(door, columns, rows, passages, "Nothing found."),
    )


@command("archival delete", "archive delete", group=GROUP)
def delete(
    door: Door, agent: AgentState = AGENT, id: str = argument("A passage's id", values="passage")
) -> Answer:
    """Delete a passage of its archive: restorable for 30 days, then gone from all files."""

    def work() -> Answer:
        door.service.passages.forget([id], agent=agent.id)
        back = how(door, "archival restore", id, agent=agent)
        return Answer(f"Deleted {id}. {back} brings it back.", {"deleted": id})

    return gone(door, work)
