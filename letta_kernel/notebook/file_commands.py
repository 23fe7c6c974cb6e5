"""``%agent archival add``: a text, or files that are on disk already, with a bar that shows how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from letta_kernel.display import panels, style, words
from letta_kernel.display.clean import esc, one_line
from letta_kernel.display.style import el
from letta_kernel.display.tables import Panel
from letta_kernel.ids import new_id
from letta_kernel.memory import files
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
        bar = _Bar(session)
        try:
            added = session.service.add_files(agent.id, paths, tags, bar.show)
        except KeyboardInterrupt:
            raise Stopped("Stopped; the same line goes on where it was.") from None
        return bar.end(_report(agent.name, added))
    made = session.service.add_passage(agent.id, text, tags)
    parts = "" if len(made) == 1 else f" in {len(made)} passages"
    return f"{agent.name} has it in its archive{parts} ({made[0].id})."


def _paths(text: str) -> list[str]:
    """Return the files *text* names if it names files and nothing else; else it is a text itself."""
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


class _Bar:
    """How far the files have come, as one display that is drawn again."""

    def __init__(self, session: Session) -> None:
        self._shell = session.shell
        self._display = {"display_id": new_id("view")}
        self._drawn = 0.0  # time.monotonic()
        self._shown = False

    def show(self, step: FileProgress) -> None:
        """Draw the bar, if it was not drawn just now."""
        if time.monotonic() - self._drawn < _PAUSE or getattr(self._shell, "kernel", None) is None:
            return
        self._drawn = time.monotonic()
        inside = step.done / step.passages if step.passages else 0.0
        share = (step.file - 1 + inside) / step.files
        name = one_line(step.path.name, 80)
        text = f"{name} ({step.file} of {step.files}) {share:.0%}"
        line = el("div", esc(text), look=style.QUIET, dir="auto")
        self._publish(Panel(panels.bar([(share, style.VIOLET, text)]) + line, text))

    def end(self, said: str) -> str:
        """Take the bar away; return what there is to say."""
        if self._shown:
            self._publish(Panel("", ""))
        return said

    def _publish(self, panel: Panel) -> None:
        self._shell.display_pub.publish(
            panel._repr_mimebundle_(), transient=self._display, update=self._shown
        )
        self._shown = True
