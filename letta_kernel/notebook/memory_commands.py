"""``%agent archival``, ``history``, ``search`` and ``context``: what an agent has in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.display import panels
from letta_kernel.display.tables import Panel
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.quiet import say
from letta_kernel.notebook.registry import AGENT, LIMIT, command, gone
from letta_kernel.service.passages import for_person

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

TAGS = Option("--tags", "list", "only those with one of these tags, or all: --match all")
MATCH = Option("--match", "word", "any or all of the tags", values="match")
FROM = Option("--from", "word", "from this day or moment on: 2024-01-31, 2024-01-31T09:00", "time")
TO = Option("--to", "word", "up to this day or moment, the whole day included", "time")
PAGE = Option("--page", "int", "the next ones: --page 2")
ROLE = Option(
    "--role", "list", "only what they said: user, assistant, system, event, summary", values="role"
)
QUERY = Argument("query", rest=True)
_WORTH_SAYING = 100  # passages the index lacks; fewer it has before anybody could read of it


@command("history", options=(LIMIT, AGENT), summary="the conversation so far")
def history(session: Session, given: Arguments) -> Panel:
    """Show the newest messages."""
    agent = session.agent(given.option("agent"))
    return panels.history_table(
        session.service.messages.history(agent.id, given.option("limit") or 50)
    )


@command(
    "search",
    QUERY,
    options=(ROLE, FROM, TO, LIMIT, PAGE, AGENT),
    summary="find what was said",
)
def search(session: Session, given: Arguments) -> Panel:
    """Search the whole conversation."""
    agent = session.agent(given.option("agent"))
    found = session.service.messages.search(
        given["query"],
        agent=agent.id,
        roles=_roles(given.option("role")),
        limit=given.option("limit") or 10,
        **_part(given),
    )
    return panels.messages_found(for_person(given["query"], found))


def _roles(asked: list[str] | None) -> list[str] | None:
    from letta_kernel.memory.recall import ROLES  # only when a search loads it anyway

    for role in asked or ():
        if role not in ROLES:
            hint = nearest(role, list(ROLES)) or f" There is: {', '.join(ROLES)}."
            raise InvalidInputError(f"Nothing is found by the role {role!r}.{hint}")
    return asked or None


def _part(given: Arguments) -> dict[str, Any]:
    """Return which part of what there is a search is about."""
    return {
        "start": given.option("from"),
        "end": given.option("to"),
        "page": (given.option("page") or 1) - 1,
    }


@command("archival", options=(LIMIT, AGENT), summary="the newest passages of its archive")
def archival(session: Session, given: Arguments) -> Panel:
    """List the newest passages."""
    agent = session.agent(given.option("agent"))
    embedder, done, newest = session.service.passages.indexed(agent.id)
    if newest - done >= _WORTH_SAYING:
        say(
            session.shell,
            f"Indexed for {embedder} up to passage {done:,} of {newest:,}, more in the background; "
            "searches read the rest.",
        )
    return panels.passages_table(
        session.service.passages.list(agent.id, given.option("limit") or 20)
    )


@command(
    "archival search",
    QUERY,
    options=(TAGS, MATCH, FROM, TO, LIMIT, PAGE, AGENT),
    summary="search its archive",
)
def archival_search(session: Session, given: Arguments) -> Panel:
    """Search the archive by words and meaning."""
    agent = session.agent(given.option("agent"))
    found = session.service.passages.search(
        given["query"],
        agent=agent.id,
        tags=given.option("tags"),
        match=given.option("match") or "any",
        top_k=given.option("limit") or 10,
        **_part(given),
    )
    return panels.passages_table(for_person(given["query"], found))


@command(
    "archival delete",
    Argument("id", values="passage"),
    options=(AGENT,),
    summary="delete a passage",
)
def archival_delete(session: Session, given: Arguments) -> str:
    """Delete one passage by id."""
    agent = session.agent(given.option("agent"))

    def work() -> str:
        session.service.passages.delete(given["id"], agent=agent.id)
        return "Deleted."

    return gone(work)


@command(
    "context",
    options=(Option("--text", "flag", "the exact text of each part"), AGENT),
    summary="what the model sees, and how full its window is",
)
def context(session: Session, given: Arguments) -> Panel | None:
    """Show the context window part by part."""
    agent = session.agent(given.option("agent"))
    report = session.service.runs.context(agent.id)
    if given.option("text"):
        for part in report.parts:
            if part.text:
                print(f"=== {part.name} ({part.tokens:,} tokens)\n{part.text}\n")
        return None
    return panels.context_panel(report.parts, report.window, report.model)
