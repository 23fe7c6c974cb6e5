"""`check`: whether a sentence about an agent's state holds, for exercises and their graders.

from letta_kernel import check
assert check("block human contains Ada", agent="ada")
"""

from __future__ import annotations

from pathlib import Path

from letta_kernel.api.agent import Agent, service_for
from letta_kernel.api.remedies import in_python
from letta_kernel.service.assertions import Finding


@in_python
def check(assertion: str, agent: str | Agent, *, home: Path | str | None = None) -> Finding:
    """Return whether *assertion* holds: true or false, and as text with what was found.

    Parameters
    ----------
    assertion : a sentence as ``%agent check`` takes it, such as ``archive has at least 2 passages``.
    agent : the agent it is about: its name or id, or one that was opened.
    home : the project folder, where the agent is named.

    Raises
    ------
    InvalidInputError
        It is no such sentence; the line lists those there are.
    """
    if isinstance(agent, Agent):
        return agent.service.assertions.check(assertion, agent=agent.id)
    return service_for(home).assertions.check(assertion, agent=agent)
