"""``%agent archival add``: a text, or files that are on disk already, with a bar that shows how far it is."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from letta_kernel.display import words
from letta_kernel.display.clean import one_line
from letta_kernel.memory import files
from letta_kernel.notebook.bar import Bar
from letta_kernel.notebook.line import Argument, Arguments, Option, split
from letta_kernel.notebook.quiet import AgentError, Stopped
from letta_kernel.notebook.registry import AGENT, command
from letta_kernel.service import FileAdded, FileProgress

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

_PAUSE = 0.1  # seconds between two pictures of the bar


@command(
    "archival add",
    Argument("text", rest=True, values="file"),
    options=(
        Option("--tags", "list", "words to find it by"),
        Option("--tag", "list", "the same"),
        AGENT,
    ),
    summary="put a text, or files (paths, folders, patterns), into its archive",
)
def archival_add(session: Session, given: Arguments) -> str:
    """Add a text, or the text of files, to the archive."""
    agent, text = session.agent(given.option("agent")), given["text"]
    tags = [*(given.option("tags") or ()), *(given.option("tag") or ())]
    paths = _paths(text)
    if paths:
        bar = Bar(session.shell)
        try:
            added = session.service.passages.add_files(
                paths, tags, partial(_draw, bar), agent=agent.id
            )
        except KeyboardInterrupt:
            raise Stopped("Stopped; the same line goes on where it was.") from None
        finally:
            bar.end("")
        return _report(agent.name, added)
    made, new = session.service.passages.remember(text, tags, agent=agent.id)
    parts = "" if len(made) == 1 else f" in {len(made)} passages"
    return f"{agent.name} has it in its archive{parts}{'' if new else ' already'} ({made[0].id})."


def _paths(text: str) -> list[str]:
    """Return the files *text* names if it names files and nothing else; else it is a text itself."""
    if os.path.exists(os.path.expanduser(text)):
        return [text]  # a name with blanks, of which the quotes are gone
    named = [word.text for word in split(text)]
    if text != text.strip() or "\n" in text or not all(map(files.looks_like_path, named)):
        return []
    return named


def _report(agent: str, added: list[FileAdded]) -> str:
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
    if failed and not new and not known:
        raise AgentError(said[0])
    return " · ".join(said) + ("" if failed else ".")


def _draw(bar: Bar, step: FileProgress) -> None:
    inside = step.done / step.passages if step.passages else 0.0
    share = (step.file - 1 + inside) / step.files
    bar.draw(share, f"{one_line(step.path.name, 80)} ({step.file} of {step.files}) {share:.0%}")
