"""What it means that a run stopped: said here once, for the journal, every door and the page.

The page's own copy, ``labextension/src/ui/stopReasons.ts``, is written by ``python labextension/generate.py``.
"""

from __future__ import annotations

from typing import Literal

StopReason = Literal[
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "max_tokens_exceeded",
    "insufficient_credits",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "requires_approval",
    "context_window_overflow_in_system_prompt",
]
Meaning = Literal["well", "limit", "failed", "cancelled", "waits"]
RunStatus = Literal["completed", "failed", "cancelled"]

MEANINGS: dict[StopReason, Meaning] = {
    "end_turn": "well",
    "tool_rule": "well",
    # A limit somebody set was reached: what was done is done, and a further message goes on from there.
    "max_steps": "limit",
    "max_tokens_exceeded": "limit",
    "insufficient_credits": "limit",  # a person's quota
    "no_tool_call": "limit",
    "error": "failed",
    "llm_api_error": "failed",
    "invalid_llm_response": "failed",
    "invalid_tool_call": "failed",
    "context_window_overflow_in_system_prompt": "failed",
    "cancelled": "cancelled",
    "requires_approval": "waits",
}
"""How a run ended: ``well``; at a ``limit``; ``failed``, having not done what was asked; ``cancelled`` by a
person; or not yet: it ``waits`` for a person's word."""


def meaning(reason: str) -> Meaning:
    """Return what *reason* means; one that is not known, as of a later version, has failed."""
    return MEANINGS.get(reason, "failed")  # type: ignore[call-overload]


def failed(reason: str | None) -> bool:
    """Return whether a run stopped without having done what was asked; None is one that goes on."""
    return reason is not None and meaning(reason) == "failed"


def run_status(reason: StopReason) -> RunStatus:
    """Return the status of a run that stopped for *reason*: a limit reached is no failure."""
    match meaning(reason):
        case "failed":
            return "failed"
        case "cancelled":
            return "cancelled"
        case _:
            return "completed"
