"""`compare`: one message to several agents, or variants of them, side by side.

from letta_kernel import compare
compare("ada", "What do you know about me?", models=["openai/gpt-5-mini", "own"], repeat=3).df
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from letta_kernel.api.added_tools import added_to
from letta_kernel.api.agent import Agent, service_for
from letta_kernel.api.comparison import Compared, compared
from letta_kernel.api.remedies import in_python


@in_python
def compare(
    agents: str | Agent | Sequence[str | Agent],
    text: str,
    *,
    home: Path | str | None = None,
    **options: Any,
) -> Compared:
    """Send *text* to forks of one or more agents and return the answers side by side.

    Parameters
    ----------
    agents : names, ids or agents; each stays as it is.
    home : the project folder, where agents are named.
    **options : as `letta_kernel.api.comparison.compared` takes them: ``models``, ``instructions``,
        ``settings``, ``memory``, ``tools``, ``repeat``, ``budget`` and so on.
    """
    given = [agents] if isinstance(agents, str | Agent) else [*agents]
    own = [one for one in given if isinstance(one, Agent)]
    service = own[0].service if own and home is None else service_for(home)
    refs = [one.id if isinstance(one, Agent) else one for one in given]
    return compared(service, refs, text, host=added_to, **options)
