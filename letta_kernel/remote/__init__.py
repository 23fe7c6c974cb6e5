"""Agents of other people, at a letta-kernel server: how a kernel, a terminal and Python talk with them."""

from letta_kernel.remote.client import SharedAgents, owner_of, shared_agents
from letta_kernel.remote.consent import consent, consent_once
from letta_kernel.remote.errors import SharedAgentError
from letta_kernel.remote.shapes import SharedAgent

__all__ = [
    "SharedAgent",
    "SharedAgentError",
    "SharedAgents",
    "consent",
    "consent_once",
    "owner_of",
    "shared_agents",
]
