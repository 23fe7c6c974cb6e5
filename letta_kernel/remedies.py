"""What would mend an error, as a value: below the doors nobody knows which words a person can use.

An error names its remedies; a notebook, the command line, REST and the Python interface each have one
table of `Words` for them, and `PLAIN` is what is said where no door is (in logs, in the store).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Do(StrEnum):
    """What a person can do; in brackets the arguments its words take."""

    MAKE_AGENT = "make_agent"  # (name)
    CHOOSE_MODEL = "choose_model"
    LIST_MODELS = "list_models"
    GET_MODEL = "get_model"  # (name)
    SET_KEY = "set_key"  # (variable)
    SET_VARIABLE = "set_variable"  # (name)
    SET_SECRET = "set_secret"  # (name)
    RAISE_BUDGET = "raise_budget"  # (setting)
    DECIDE_CALLS = "decide_calls"
    ALLOW_SKILLS = "allow_skills"
    ADD_MCP_SERVER = "add_mcp_server"
    REFER_IN_ENVIRONMENT = "refer_in_environment"  # (variable)
    REFER_IN_HEADER = "refer_in_header"  # (header)
    INSTALL_EXTRA = "install_extra"  # (extra)
    INSTALL_PACKAGES = "install_packages"  # (requirement, …)
    UPDATE = "update"
    REPLACE_FILE = "replace_file"
    CHECK_STORE = "check_store"
    REVIEW_MEMORY = "review_memory"
    UNDO_SLEEP = "undo_sleep"
    SEE_TIMELINE = "see_timeline"
    RETURN_TO = "return_to"  # (branch)
    FORK_FROM = "fork_from"  # (step)
    READ_PAGE = "read_page"  # (page)


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do, with what it is done to."""

    do: Do
    args: tuple[str, ...] = ()


Words = Mapping[Do, str | Callable[..., str]]
"""A door's clause for each thing to do: a format of its arguments, or a function of them."""


def remedy(do: Do, *args: str) -> Remedy:
    """Return the remedy *do* with its arguments."""
    return Remedy(do, args)


def spoken(text: str, remedies: Sequence[Remedy], words: Words) -> str:
    """Return *text* and what to do about it, in a door's *words*."""
    clauses = list(dict.fromkeys(clause(one, words) for one in remedies))
    if not clauses:
        return text
    said = ", or ".join(clauses)
    said = said[0].upper() + said[1:]
    end = "" if said.endswith((".", "!", "?")) else "."
    return f"{sentence(text)} {said}{end}" if text else said


def clause(one: Remedy, words: Words) -> str:
    """Return one remedy in a door's words: no sentence of its own, without an end."""
    form = words[one.do]
    return form(*one.args) if callable(form) else form.format(*one.args)


SAYS_ALL = frozenset({"not-valid", "not-found", "already-there"})
"""Pages that add nothing to a line that belongs to them, so that a door does not name them."""


def pointed(line: str, page: str, words: Words) -> str:
    """Return *line*, ended with how its *page* is read in a door's *words*; alone if that adds nothing."""
    if not page or page in SAYS_ALL or not line:
        return line
    return f"{line} ({clause(remedy(Do.READ_PAGE, page), words)})"


def sentence(text: str) -> str:
    """Return *text* so that another sentence may follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def quoted(*requirements: str) -> str:
    """Return requirements as a shell takes them."""
    return " ".join(f"'{one}'" for one in requirements)


KEYS_LIVE = "the environment, a .env file beside the project, or the keyring"

PLAIN: Words = {
    Do.MAKE_AGENT: "make an agent first",
    Do.CHOOSE_MODEL: "choose another model",
    Do.LIST_MODELS: "look at the list of models that can be used",
    Do.GET_MODEL: "download {0} first",
    Do.SET_KEY: f"put {{0}} into {KEYS_LIVE}",
    Do.SET_VARIABLE: "set the environment variable {0}",
    Do.SET_SECRET: ("set the environment variable {0}"),
    Do.RAISE_BUDGET: "raise the setting {0}",
    Do.DECIDE_CALLS: "approve or deny them first",
    Do.ALLOW_SKILLS: "look at them and allow them",
    Do.ADD_MCP_SERVER: "add the MCP server",
    Do.REFER_IN_ENVIRONMENT: "set the environment variable {0} and write ${{{0}}} for its value",
    Do.REFER_IN_HEADER: "put it into an environment variable and write ${{NAME}} in the header {0}",
    Do.INSTALL_EXTRA: "install letta-kernel with its extra {0}",
    Do.INSTALL_PACKAGES: lambda *wanted: f"install {quoted(*wanted)}",
    Do.UPDATE: "update letta-kernel",
    Do.REPLACE_FILE: "say that it may be replaced",
    Do.CHECK_STORE: "check the store, which says what can be saved",
    Do.REVIEW_MEMORY: "accept or reject them",
    Do.UNDO_SLEEP: "it can be taken back",
    Do.SEE_TIMELINE: "look at its timeline",
    Do.RETURN_TO: "return to {0}, which keeps this end",
    Do.FORK_FROM: "fork from {0}",
    Do.READ_PAGE: "letta-kernel help {0}",
}
