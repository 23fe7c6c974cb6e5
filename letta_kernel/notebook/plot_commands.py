"""``%agent plot``: tokens of each step, memory over time, cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.api import figure_of
from letta_kernel.notebook.line import Argument, Arguments
from letta_kernel.notebook.registry import AGENT, LIMIT, command

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


@command(
    "plot",
    Argument("what", required=False, values="plot"),
    options=(LIMIT, AGENT),
    summary="tokens of each step, memory over time, or cost, as a picture",
)
def plot(session: Session, given: Arguments) -> None:
    """Show one plot of the last runs, in text where there are no pictures."""
    agent = session.agent(given.option("agent"))
    figure = figure_of(
        session.service, agent.id, given.get("what") or "tokens", given.option("limit")
    )
    data, metadata = figure._repr_mimebundle_()  # type: ignore[attr-defined]
    if getattr(session.shell, "kernel", None) is None:
        print(data["text/plain"])
    else:
        session.shell.display_pub.publish(data, metadata)
