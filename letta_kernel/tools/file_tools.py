"""The tools of agents with folders: they open files, find lines in them, and search them by meaning."""

from __future__ import annotations

from letta_kernel.tools.context import ToolContext


def open_files(
    agent_state: ToolContext,
    file_name: str,
    first_line: int | None = None,
    last_line: int | None = None,
    close_all_others: bool = False,
) -> str:
    """Open a file of your folders. Its lines are shown now, and stay in sight until it is closed.

    Args:
        file_name: The file's name as the list of directories has it, for example notes/plan.md.
        first_line: The first line to show, counted from 1. Leave it out for the beginning.
        last_line: The last line to show. Leave it out for as much as fits.
        close_all_others: Whether to close the files that are open now.
    """
    if close_all_others:
        agent_state.files.close_all()
    view = agent_state.files.open(file_name, first_line, last_line)
    return f"{view.name}, lines {view.first} to {view.last} of {view.lines}:\n{view.text}"


def grep_files(
    agent_state: ToolContext,
    pattern: str,
    include: str | None = None,
    context_lines: int = 1,
    offset: int = 0,
) -> str:
    """Find the lines of your files that a regular expression matches, 20 matches at a time.

    Args:
        pattern: The regular expression, for example (?i)invoice \\d+.
        include: Only files whose name fits this pattern, for example *.md.
        context_lines: How many lines around each match to show.
        offset: How many matches to pass over, to see the next ones.
    """
    found = agent_state.files.grep(pattern, include, max(0, min(context_lines, 20)), max(0, offset))
    if not found.lines:
        return "No line matches."
    more = f"\nThere are more: give offset {offset + 20}." if found.more else ""
    return "\n\n".join(found.lines) + more


def semantic_search_files(agent_state: ToolContext, query: str, limit: int = 5) -> str:
    """Find the passages of your files that speak of something, by meaning and words.

    Args:
        query: What to look for.
        limit: How many passages at most.
    """
    found = agent_state.files.search(query, max(1, min(limit, 50)))
    if not found:
        return "Nothing found."
    mark = agent_state.cites.mark
    return "\n\n".join(
        f"{mark(hit.passage.id, query)} {name}:\n{hit.passage.content}" for name, hit in found
    )


FILE_TOOLS = (open_files, grep_files, semantic_search_files)
"""What an agent gets with its first folder."""
