"""``%agent model get``: a small capable model for this machine, downloaded once, after asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.display.tables import table
from letta_kernel.models.plugins import download, downloaded, offers, shown_size
from letta_kernel.notebook.bar import Bar
from letta_kernel.notebook.commands import YES, confirmed
from letta_kernel.notebook.line import Argument, Arguments
from letta_kernel.notebook.quiet import Stopped
from letta_kernel.notebook.registry import command

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


@command(
    "model get",
    Argument("name", required=False),
    options=(YES,),
    summary="download a language model that runs in this process; without a name, list them",
)
def model_get(session: Session, given: Arguments) -> Any:
    """Download a model of the list, or show the list."""
    name = given.get("name")
    if name is None:
        here = set(downloaded())
        rows = [
            [model, one.size, one.licence, "here" if model in here else one.about]
            for model, one in offers().items()
        ]
        return table(["model", "size", "licence", "about"], rows, title="%agent model get NAME")
    bar = Bar(session.shell)

    def progress(done: int, total: int) -> None:
        bar.draw(done / total, f"{name}: {shown_size(done)} of {shown_size(total)}")

    def ask(question: str) -> bool:
        return bool(given.option("yes")) or confirmed(f"{question} [y/N] ")

    try:
        model, _ = download(name, confirm=ask, progress=progress)
    except KeyboardInterrupt:
        raise Stopped("Stopped; the same line goes on where it was.") from None
    return bar.end(f"{model} is here: %agent model {model} uses it.")
