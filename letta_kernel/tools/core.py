"""The tools every agent can have: they answer, edit core memory, and search archival memory and recall.

Names, arguments and behaviours are Letta's. Each is an ordinary function whose schema is made from its own
source like any other tool's; ``agent_state`` is filled in by the loop and never seen by the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from textwrap import shorten
from time import perf_counter
from typing import Any, Literal
from zoneinfo import ZoneInfo

from letta_kernel.errors import LettaError
from letta_kernel.ids import now
from letta_kernel.memory import archival, edits, excerpts, recall
from letta_kernel.memory.blocks import Change, CoreMemory
from letta_kernel.records import Tool
from letta_kernel.store.driver import Conflict
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.file_tools import FILE_TOOLS
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.schema import schema_of


def send_message(agent_state: ToolContext, message: str) -> str:
    """Send a message to the user. This is your answer, and it ends your turn.

    Args:
        message: What to say to the user.
    """
    return "Sent message successfully."


def core_memory_append(agent_state: ToolContext, label: str, content: str) -> str:
    """Add to a core memory block, on a new line. Use it to keep a fact that should always be in sight.

    Args:
        label: The block to edit: human, persona, instructions (what the user wants from now on) or another.
        content: What to add.
    """
    return agent_state.edit(label, lambda v: edits.append(v, content), "core_memory_append")


def core_memory_replace(
    agent_state: ToolContext, label: str, old_content: str, new_content: str
) -> str:
    """Replace text in a core memory block, everywhere it occurs. To delete, give an empty new_content.

    Args:
        label: The block to edit, for example human or persona.
        old_content: The exact text to replace.
        new_content: The text to put in its place.
    """
    return agent_state.edit(
        label, lambda v: edits.replace_all(v, old_content, new_content), "core_memory_replace"
    )


def memory_replace(agent_state: ToolContext, label: str, old_string: str, new_string: str) -> str:
    """Replace one piece of text in a memory block; it must match exactly once.

    Args:
        label: The block to edit.
        old_string: The exact text to replace, with its line breaks and spaces.
        new_string: The text to put in its place; empty to delete.
    """
    return agent_state.edit(
        label, lambda v: edits.replace_once(v, old_string, new_string), "memory_replace"
    )


def memory_insert(
    agent_state: ToolContext, label: str, new_string: str, insert_line: int = -1
) -> str:
    """Insert text into a memory block after a given line.

    Args:
        label: The block to edit.
        new_string: The text to insert.
        insert_line: The line after which to insert: 0 for the top, -1 for the end.
    """
    return agent_state.edit(
        label, lambda v: edits.insert(v, new_string, insert_line), "memory_insert"
    )


def memory_rethink(agent_state: ToolContext, label: str, new_memory: str) -> str:
    """Rewrite a whole memory block, for example to tidy it up. What is not in new_memory is dropped.

    Args:
        label: The block to rewrite.
        new_memory: The new text of the whole block.
    """
    return agent_state.edit(label, lambda v: new_memory, "memory_rethink", whole=True)


def memory_apply_patch(agent_state: ToolContext, label: str, patch: str) -> str:
    """Edit a memory block with a unified diff.

    Args:
        label: The block to edit.
        patch: The diff: lines that begin with @@, a space, - or +.
    """
    return agent_state.edit(label, lambda v: edits.apply_patch(v, patch), "memory_apply_patch")


def memory(
    agent_state: ToolContext,
    command: Literal["create", "str_replace", "insert", "delete", "rename"],
    path: str | None = None,
    file_text: str | None = None,
    description: str | None = None,
    old_string: str | None = None,
    new_string: str | None = None,
    insert_line: int | None = None,
    insert_text: str | None = None,
    old_path: str | None = None,
    new_path: str | None = None,
) -> str:
    """Manage memory blocks as files under /memories: create, str_replace, insert, delete, rename.

    Args:
        command: What to do.
        path: The block, as /memories/label; for rename, the block whose description is new.
        file_text: For create: the text of the new block.
        description: For create or rename: what the block is for.
        old_string: For str_replace: the exact text to replace; it must match exactly once.
        new_string: For str_replace: the text to put in its place.
        insert_line: For insert: the line after which to insert; 0 for the top, -1 for the end.
        insert_text: For insert: the text to insert.
        old_path: For rename: the block to rename.
        new_path: For rename: its new name.
    """
    here = agent_state.core
    match command:
        case "create":
            label = _label(here, path, "path")
            block = here.create(
                label,
                file_text or "",
                description or "",
                actor=agent_state.agent_id,
                step_id=agent_state.step_id,
                reason="memory",
            )
            agent_state.on_change(Change("", block))
            return f"The memory block {label} has been made."
        case "str_replace":
            old, new = _given(old_string, "old_string"), new_string or ""
            return agent_state.edit(
                _label(here, path, "path"), lambda v: edits.replace_once(v, old, new), "memory"
            )
        case "insert":
            text = _given(insert_text, "insert_text")
            line = -1 if insert_line is None else insert_line
            return agent_state.edit(
                _label(here, path, "path"), lambda v: edits.insert(v, text, line), "memory"
            )
        case "delete":
            return f"The memory block {here.remove(_label(here, path, 'path')).label} has been deleted."
        case "rename":
            if new_path is None and description is None:
                raise edits.EditError("This command needs new_path, or path and description.")
            old_label = _label(here, old_path or path, "old_path")
            new_label = None if new_path is None else _label(here, new_path, "new_path")
            here.describe(old_label, new_label=new_label, description=description)
            if new_label is None:
                return f"The memory block {old_label} has a new description."
            return f"The memory block {old_label} is called {new_label} now."


def _label(here: CoreMemory, path: str | None, name: str) -> str:
    """Return the label that *path* means; slashes around it only count where a block has them."""
    given = _given(path, name)
    label = given.removeprefix("/memories/")
    labels = {block.label for block in here.all()}
    found = next((one for one in (label, given, label.strip("/")) if one in labels), None)
    if found is None and label.strip("/") in ("", "memories"):
        raise edits.EditError(f"{name} names a block as /memories/<label>, not {path!r}.")
    return found or label.strip("/")


def _given(value: str | None, name: str) -> str:
    if not value:
        raise edits.EditError(f"This command needs {name}.")
    return value


def memory_finish_edits(agent_state: ToolContext) -> str:
    """Say that you have finished editing memory. This ends your turn."""
    return "Memory edits are finished."


def archival_memory_insert(
    agent_state: ToolContext,
    content: str,
    tags: list[str] | None = None,
    supersedes: list[str] | None = None,
) -> str:
    """Put a fact, note or text into archival memory, from where it can be searched at any time.

    Not what the user wants from now on: that belongs in the block instructions.

    Args:
        content: The text to keep; best self-contained, with names and dates.
        tags: Words to file it under.
        supersedes: Ids of passages that no longer hold because this one does.
    """
    archive, agent_id = agent_state.archive, agent_state.agent_id
    kept = archive.insert(
        agent_id,
        content,
        tags=tags or [],
        actor=agent_id,
        step_id=agent_state.step_id,
        reason="archival_memory_insert",
        supersedes=supersedes or [],
    )
    said = f"Kept in archival memory as {', '.join(passage.id for passage in kept)}."
    if supersedes:
        return f"{said} It supersedes {', '.join(dict.fromkeys(supersedes))}."
    if alike := archive.replaced_by(agent_id, kept):
        named = "; ".join(
            f"{one.id}: {shorten(one.content, 160, placeholder=' …')}" for one in alike
        )
        said += (
            f" It may replace these, which still hold: {named}. If it does, call this again with the same"
            " content and their ids as supersedes."
        )
    return said


def archival_memory_search(
    agent_state: ToolContext,
    query: str,
    tags: list[str] | None = None,
    tag_match_mode: Literal["any", "all"] = "any",
    top_k: int | None = None,
    start_datetime: str | None = None,
    end_datetime: str | None = None,
    include_superseded: bool = False,
    as_of: str | None = None,
) -> str:
    """Search archival memory by meaning and by words.

    Args:
        query: What to look for, in plain words.
        tags: Only passages with these tags.
        tag_match_mode: Whether a passage needs any of the tags or all of them.
        top_k: How many passages to return at most; without it as many as fit.
        start_datetime: Only passages from this time on, as 2024-01-31 or 2024-01-31T09:00.
        end_datetime: Only passages up to this time; a date without a time means that whole day.
        include_superseded: Also what later passages have replaced.
        as_of: What was known at this day or time, such as 2024-01-31, and held then.
    """
    hits = agent_state.archive.search(
        agent_state.agent_id,
        query,
        tags=tags,
        match=tag_match_mode,
        top_k=_most(query, top_k),
        start=start_datetime,
        end=end_datetime,
        timezone=agent_state.timezone,
        include_superseded=include_superseded,
        as_of=as_of,
    )
    zone = agent_state.timezone
    found = [
        _shown_passage(hit, agent_state.cites.mark(hit.passage.id, query, hit.ids), zone)
        for hit in archival.excerpts(query, hits, cost=lambda hit: passage_cost(hit, zone))
    ]
    return _listing(found, "Nothing in archival memory matches.")


def conversation_search(
    agent_state: ToolContext,
    query: str,
    roles: list[Literal["assistant", "user", "tool"]] | None = None,
    limit: int | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
) -> str:
    """Search the whole conversation, also what is no longer in sight.

    Args:
        query: What to look for, in plain words.
        roles: Only messages of these roles.
        limit: How many messages to return at most; without it as many as fit.
        start_date: Only messages from this date on, as 2024-01-31 or 2024-01-31T09:00.
        end_date: Only messages up to this date; a date without a time means that whole day.
    """
    hits = agent_state.recall.search(
        agent_state.agent_id,
        query,
        roles=roles,
        limit=_most(query, limit),
        start=start_date,
        end=end_date,
        timezone=agent_state.timezone,
    )

    def shown(hit: recall.MessageHit, cite: str) -> dict[str, Any]:
        return {
            "cite": cite,
            "timestamp": local_time(hit.message.created_at, agent_state.timezone),
            "time_ago": time_ago(hit.message.created_at),
            "role": hit.message.role,
            "content": hit.message.said,
        }

    found = [
        shown(hit, agent_state.cites.mark(hit.message.id, query))
        for hit in recall.excerpts(query, hits, cost=lambda hit: _cost(shown(hit, _ANY)))
    ]
    nothing = "Nothing in the conversation matches."
    if roles and set(roles) == {"tool"}:
        nothing = "What tools returned is not searched; search what the user or you said about it."
    return _listing(found, nothing)


def local_time(moment: datetime, timezone: str) -> str:
    """Return *moment* in the agent's time zone, to the second."""
    return moment.astimezone(ZoneInfo(timezone)).isoformat(timespec="seconds")


def time_ago(moment: datetime) -> str:
    """Return how long ago *moment* was, in one rough unit (``3 hours ago``)."""
    seconds = max(0, int((now() - moment).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _most(query: str, given: int | None) -> int:
    """Return how many hits are looked at: what fits is decided later, but a blank query finds everything."""
    if given is not None:
        return given
    return excerpts.MOST if query.strip() else 10


def passage_cost(hit: archival.Hit, timezone: str = "UTC") -> int:
    """Return how many tokens a passage takes in what `archival_memory_search` returns."""
    return _cost(_shown_passage(hit, _ANY, timezone))


def _shown_passage(hit: archival.Hit, cite: str, timezone: str) -> dict[str, Any]:
    return {
        "cite": cite,
        "id": hit.passage.id,
        "timestamp": local_time(hit.passage.created_at, timezone),
        "content": hit.passage.content,
        "tags": hit.passage.tags,
        "relevance": round(hit.score, 4),
        **({"superseded_by": by} if (by := hit.passage.superseded_by) else {}),
        **({"joined": list(hit.ids)} if len(hit.ids) > 1 else {}),
    }


def _cost(shown: dict[str, Any]) -> int:
    """Return how many tokens a hit takes in a `_listing`."""
    return excerpts.tokens(_listing([shown], ""))


def _listing(found: list[dict[str, Any]], nothing: str) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1) if found else nothing


_ANY = "[999]"  # in place of the number of a citation, which only what is shown gets

FUNCTIONS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        send_message,
        core_memory_append,
        core_memory_replace,
        memory_insert,
        memory_replace,
        memory_rethink,
        memory_apply_patch,
        memory,
        memory_finish_edits,
        archival_memory_insert,
        archival_memory_search,
        conversation_search,
        *FILE_TOOLS,
    )
}

WRITERS = frozenset(
    {
        *("core_memory_append", "core_memory_replace", "memory_insert", "memory_replace"),
        *("memory_rethink", "memory_apply_patch", "memory", "archival_memory_insert", "open_files"),
    }
)
"""Those that change the store, quickly: no model and no search is asked."""

DEFAULT = (
    "core_memory_append",
    "core_memory_replace",
    "memory_insert",
    "memory_replace",
    "memory_rethink",
    "archival_memory_insert",
    "archival_memory_search",
    "conversation_search",
)
"""What a new agent gets; ``send_message`` is offered by the heartbeat style itself."""

UNLIMITED = frozenset({"archival_memory_search", "conversation_search"})
"""Searches, whose results are not cut: their size is governed by top_k and limit."""


def run(tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Outcome:
    """Call a core tool with validated arguments; whatever goes wrong becomes an error result."""
    started = perf_counter()
    try:
        outcome = Outcome(status="ok", text=FUNCTIONS[tool.name](context, **arguments))
    except Conflict:
        raise  # the transaction it is in is tried again
    except LettaError as error:
        outcome = Outcome(status="error", text=str(error), error=str(error))
    except Exception as error:  # an argument no schema can refuse must not break the run
        text = f"{type(error).__name__}: {error}"
        outcome = Outcome(status="error", text=text, error=text)
    if tool.name not in UNLIMITED and len(outcome.text) > tool.return_limit:
        limit = tool.return_limit
        outcome.text = f"{outcome.text[:limit]}… (cut at {limit:,} characters)"
    outcome.cites = context.cites.take()
    outcome.seconds = perf_counter() - started
    return outcome


@cache
def record(name: str) -> Tool:
    """Return the tool record of the core tool *name*; its id is the same in every project."""
    schema = schema_of(FUNCTIONS[name])
    return Tool(id=f"tool-core-{name}", **schema, kind="core", runs_in="core", parallel_safe=False)
