"""One message to several variants of an agent, side by side; one of them is kept."""

from __future__ import annotations

from letta_kernel.commands.door import Answer, Notebook
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

GROUP = "Talking"
NONE = "none"


@command("%%compare", None, group=GROUP)
def compare(
    door: Notebook,
    name: str | None = argument("Another agent than the current one", None, values="agent"),
    agents: list[str] | None = option("Several agents instead of one", values="agent"),
    models: list[str] | None = option("Models; own: the agent's", values="model"),
    instructions: list[str] | None = option(
        "Instructions in place of the agent's, given once for each; own: as they are",
        free=True,
        repeated=True,
    ),
    memory: list[str] | None = option(
        "With memory, and without: its blocks, and passages beside the message", values="switch"
    ),
    tools: list[str] | None = option(
        "With its tools (on), only those for its memory (memory), none (off)", values="tools_of"
    ),
    settings: list[str] | None = option(
        "Other settings: retrieval=on,retrieval=off; several in one with + between them",
        values="setting",
    ),
    repeat: int = option("How often each one answers", 1, least=1, most=20),
    budget: float | None = option("US dollars that all of it may cost"),
    budget_tokens: int | None = option("Tokens that all of it may take", least=1),
    max_steps: int | None = option("Model calls a run may take", least=1, most=1000),
    as_: str | None = option("A variable for the results: its .df has one row for each run"),
    raw: bool = option("Send the cell as it is: no {expressions} filled in"),
) -> None:
    """Send the cell to several variants of an agent at once, and see them side by side.

    %%compare ada --models openai/gpt-5-mini,anthropic/claude-sonnet-4-5 --repeat 3
    What do you know about me?

    Every combination of what is given is a column, every run in it a fork of the agent that is in no list: the
    agent itself stays as it is. %agent keep 2 lets the run of that number go on as the agent, %agent keep none
    throws all away. A run that fails says why in its place; nobody is asked for an approval. What tools do
    outside (a payment, a file) is done by every run: --tools memory, or off, leaves them out. What a notebook
    places beside a message is left out here.
    """  # the notebook does it, which has the cell


@command("keep", None, group=GROUP)
def keep(
    door: Notebook,
    which: str = argument("The number of a run of the last comparison, or none"),
    agent: str | None = option("A comparison of this agent, if not the last one", values="agent"),
) -> Answer:
    """Let one run of a comparison be the agent's own from now on; the others are thrown away."""
    from letta_kernel.display.comparison import standing

    whose = door.agent(agent).id if agent is not None else None
    number = _number(which)
    compared = door.service.compare.newest(whose)
    compared = door.service.compare.decide(compared.id, number)
    return Answer(standing(compared))


def _number(which: str) -> int | None:
    if which.strip().lower() == NONE:
        return None
    if not which.strip().isdecimal():
        raise InvalidInputError(
            f"Say the number of a run, or {NONE}: %agent keep 2, not {which!r}."
        )
    return int(which)
