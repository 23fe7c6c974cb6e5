"""``letta-kernel acp``: an agent for clients of the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from typing import Any

from letta_kernel.cli import output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import InvalidInputError
from letta_kernel.records import AgentState
from letta_kernel.remedies import Do, remedy


def serve(session: TerminalDoor, *, agent: AgentState, policy: Policy) -> None:
    """Serve *agent* until the client leaves.

    Raises
    ------
    InvalidInputError
        The protocol's library is not installed.
    """
    if find_spec("acp") is None:
        raise InvalidInputError(
            "The Agent Client Protocol needs agent-client-protocol.",
            remedy(Do.INSTALL_EXTRA, "acp"),
            page="library-missing",
        )
    if sys.stdin.isatty():
        said = (
            f"Serving {agent.name} over ACP: an editor starts this and talks JSON. Ctrl-C ends it."
        )
        output.put(said, style="dim", stderr=True)
    from letta_kernel.tools.sandbox_walls import dumpable

    dumpable(False)
    asyncio.run(_serve(session, agent, policy))


async def _serve(session: TerminalDoor, agent: AgentState, policy: Policy) -> None:
    from acp.agent.connection import AgentSideConnection

    from letta_kernel.server.acp.agent import ServedAgent
    from letta_kernel.server.acp.transport import Input, Output
    from letta_kernel.server.stdio import StandardStreams

    served = ServedAgent(session.service, agent, policy, session.words)
    agent_side: Any = served  # authentication and extensions are left out
    try:
        async with StandardStreams() as streams:
            source = Input(streams)
            filling = asyncio.create_task(source.fill())
            connection = AgentSideConnection(
                agent_side, Output(streams), source, listening=False, use_unstable_protocol=True
            )
            try:
                await connection.listen()
            finally:
                filling.cancel()
                await connection.close()
    finally:
        await asyncio.to_thread(served.close)
