"""The tools that come with the package: the core ones, Letta's for the world outside, and for other agents.

Those for the world outside (``run_code``, ``fetch_webpage``, ``web_search``) have Letta's names and arguments.
They are tools from source like any other, so that they run in the sandbox; a tool of the project's own goes
before one of the same name. Those for other agents have Letta's names and arguments too, but for ``spawn``,
which is ours; what they do is done by the service (`letta_kernel.tools.execute.Asker`).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from letta_kernel.agent_messages import SPAWN
from letta_kernel.records import Tool
from letta_kernel.tools import core
from letta_kernel.tools.schema import schema_of


def run_code(code: str, language: Literal["python"] = "python") -> str:
    """Run Python code in a process of its own; returns what it prints and the value of its last line.

    Nothing is kept from one call to the next.

    Args:
        code: The code to run.
        language: The language it is written in.
    """
    from letta_kernel.tools.code import run

    return run(code)


def fetch_webpage(url: str) -> str:
    """Read a web page: its text, without the markup.

    Args:
        url: Its address, with http:// or https://.
    """
    from letta_kernel.tools.web import page

    return page(url)


def web_search(
    query: str,
    num_results: int = 10,
    category: str | None = None,
    include_text: bool = False,
    include_domains: list[str] | None = None,
    exclude_domains: list[str] | None = None,
    start_published_date: str | None = None,
    end_published_date: str | None = None,
    user_location: str | None = None,
) -> str:
    """Search the web, for what is new or not in memory.

    Args:
        query: What to look for, in plain words.
        num_results: How many results at most.
        category: Only pages of this kind, such as news, company, research paper, pdf or github.
        include_text: Whether the pages' whole text is wanted too; it is long.
        include_domains: Only pages of these sites.
        exclude_domains: No pages of these sites.
        start_published_date: Only pages published from this day on, as 2024-01-31.
        end_published_date: Only pages published up to this day.
        user_location: The country of the person who asks, as two letters.
    """
    from letta_kernel.tools.web import search

    return search(
        query,
        numResults=num_results,
        category=category,
        includeDomains=include_domains,
        excludeDomains=exclude_domains,
        startPublishedDate=start_published_date,
        endPublishedDate=end_published_date,
        userLocation=user_location,
        contents={"highlights": True, "text": include_text},
    )


OUTSIDE: dict[str, Callable[..., str]] = {
    function.__name__: function for function in (run_code, fetch_webpage, web_search)
}
"""The tools for the world outside, which an agent has when they are attached."""


def send_message_to_agent_and_wait_for_reply(message: str, other_agent_id: str) -> str:
    """Send a message to another agent of this project and wait for its answer.

    It is told who you are: there is no need to introduce yourself.

    Args:
        message: What to say to it.
        other_agent_id: The other agent's id, or its name if no two have it.
    """
    raise NotImplementedError


def send_message_to_agent_async(message: str, other_agent_id: str) -> str:
    """Send a message to another agent of this project, without waiting for an answer.

    It is told who you are: there is no need to introduce yourself.

    Args:
        message: What to say to it.
        other_agent_id: The other agent's id, or its name if no two have it.
    """
    raise NotImplementedError


def send_message_to_agents_matching_tags(
    message: str, match_all: list[str], match_some: list[str]
) -> list[dict[str, Any]]:
    """Send a message to all agents of this project with certain tags, and wait for their answers.

    Args:
        message: What to say to each of them.
        match_all: Tags of which an agent must have every one.
        match_some: Tags of which an agent must have at least one; may be empty.
    """
    raise NotImplementedError


def spawn(
    task: str,
    tools: list[str] | None = None,
    blocks: list[str] | None = None,
    max_steps: int = 20,
    seconds: int = 300,
    cost: float | None = None,
) -> str:
    """Let a copy of yourself do one task, and wait for its answer.

    The copy knows what was said so far and what is in your memory. It works apart: nobody else hears it, and
    what it writes into its memory stays there. Ask for several at once, and they work at the same time.

    Args:
        task: What to do, with all it takes to do it, and what to answer.
        tools: The names of the tools it may call; all of yours but this one, if not given.
        blocks: The labels of the memory blocks it sees; all of yours, if not given.
        max_steps: How many steps it may take.
        seconds: How long it may take.
        cost: How many US dollars it may cost.
    """
    raise NotImplementedError


TOGETHER: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        send_message_to_agent_and_wait_for_reply,
        send_message_to_agent_async,
        send_message_to_agents_matching_tags,
        spawn,
    )
}
"""The tools for other agents, which an agent has when they are attached."""

NAMES = (*core.FUNCTIONS, *OUTSIDE, *TOGETHER)
"""The names of all built-in tools."""

_ID = "tool-builtin-"


def is_outside(tool_id: str) -> bool:
    """Return whether this is the id of a built-in tool that is no core tool."""
    return tool_id.startswith(_ID)


def is_together(tool_id: str) -> bool:
    """Return whether this is the id of a tool for other agents."""
    return is_outside(tool_id) and tool_id.removeprefix(_ID) in TOGETHER


def record(name: str) -> Tool:
    """Return the built-in tool *name*; its id is the same in every project."""
    if name in TOGETHER:
        return _together(name)
    return core.record(name) if name in core.FUNCTIONS else _outside(name)


@cache
def _together(name: str) -> Tool:
    told = {**schema_of(TOGETHER[name]), "kind": "source", "runs_in": "core"}
    apart = name == SPAWN  # each copy has a history of its own
    return Tool.model_validate({"id": _ID + name, "parallel_safe": apart, **told})


@cache
def _outside(name: str) -> Tool:
    function = OUTSIDE[name]
    source = f"from typing import Literal\n\n\n{inspect.getsource(function)}"
    told = {**schema_of(function), "source": source, "kind": "source", "runs_in": "sandbox"}
    return Tool.model_validate({"id": _ID + name, "parallel_safe": True, **told})


def named(ref: str) -> Tool | None:
    """Return the built-in tool of this name or id, or None."""
    name = ref.removeprefix("tool-core-").removeprefix(_ID)
    return record(name) if name in NAMES else None


def current(tool: Tool) -> Tool:
    """Return *tool* as it is now: the code is the truth about a built-in one, a stored one may be older."""
    built_in = tool.kind == "core" or is_outside(tool.id)
    return record(tool.name) if built_in else tool


def environment(tool: Tool) -> dict[str, str]:
    """Return the environment variables of this process that *tool* is given beside its agent's own."""
    wanted = ("EXA_API_KEY", "EXA_BASE_URL") if tool.id == f"{_ID}web_search" else ()
    return {name: os.environ[name] for name in wanted if name in os.environ}
