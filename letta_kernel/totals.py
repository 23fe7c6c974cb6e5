"""What is told of runs together: opinions of steps, how calls of a tool went, what it all took."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Feedback:
    """What people thought of a step; ``opinion`` is positive, negative or None."""

    opinion: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ToolStats:
    """How an agent's calls of one tool went; ``seconds`` is the sum over all calls.

    ``failing`` says that the newest call ended with an error.
    """

    name: str
    calls: int
    failures: int
    seconds: float
    last_error: str | None
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs took together; ``cost`` is in US dollars, None if no price is known."""

    runs: int
    steps: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost: float | None
