"""``%agent archival``, ``history``, ``search`` and ``context``: what an agent has in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.display import panels
from letta_kernel.display.tables import Panel
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.quiet import say
from letta_kernel.notebook.registry import AGENT, LIMIT, command

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

TAGS = Option("--tags", "list", "only those with one of these tags")
QUERY = Argument("query", rest=True)
_WORTH_SAYING = 100  # passages the index lacks; fewer it has before anybody could read of it


@command("history", options=(LIMIT, AGENT), summary="the conversation so far")
def history(session: Session, given: Arguments) -> Panel:
    """Show the newest messages."""
    agent = session.agent(given.option("agent"))
    return panels.history_table(session.service.history(agent.id, given.option("limit") or 50))


@command("search", QUERY, options=(LIMIT, AGENT), summary="find what was said")
def search(session: Session, given: Arguments) -> Panel:
    """Search the whole conversation."""
    agent = session.agent(given.option("agent"))
    found = session.service.search_messages(
        agent.id, given["query"], limit=given.option("limit") or 10
    )
    return panels.messages_found(found)


@command("archival", options=(LIMIT, AGENT), summary="the newest passages of its archive")
def archival(session: Session, given: Arguments) -> Panel:
    """List the newest passages."""
    agent = session.agent(given.option("agent"))
    embedder, done, newest = session.service.indexed(agent.id)
    if newest - done >= _WORTH_SAYING:
        say(
            session.shell,
            f"Indexed for {embedder} up to passage {done:,} of {newest:,}, more in the background; "
            "searches read the rest.",
        )
    return panels.passages_table(session.service.passages(agent.id, given.option("limit") or 20))


command("archival list", options=(LIMIT, AGENT), summary="the same")(archival)


@command("archival search", QUERY, options=(TAGS, LIMIT, AGENT), summary="search its archive")
def archival_search(session: Session, given: Arguments) -> Panel:
    """Search the archive by words and meaning."""
    agent = session.agent(given.option("agent"))
    found = session.service.search_passages(
        agent.id, given["query"], tags=given.option("tags"), top_k=given.option("limit") or 10
    )
    return panels.passages_table(found)


@command(
    "archival delete",
    Argument("id", values="passage"),
    options=(AGENT,),
    summary="delete a passage",
)
def archival_delete(session: Session, given: Arguments) -> str:
    """Delete one passage by id."""
    agent = session.agent(given.option("agent"))
    session.service.delete_passage(agent.id, given["id"])
    return "Deleted."


@command(
    "context",
    options=(Option("--text", "flag", "the exact text of each part"), AGENT),
    summary="what the model sees, and how full its window is",
)
def context(session: Session, given: Arguments) -> Panel | None:
    """Show the context window part by part."""
    agent = session.agent(given.option("agent"))
    report = session.service.context(agent.id)
    if given.option("text"):
        for part in report.parts:
            if part.text:
                print(f"=== {part.name} ({part.tokens:,} tokens)\n{part.text}\n")
        return None
    return panels.context_panel(report.parts, report.window, report.model)
