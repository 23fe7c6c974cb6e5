"""The one door to agents: the kernel, the server and the command line all come through `AgentService`."""

from __future__ import annotations

from letta_kernel.agent.context import ContextPart, ContextReport
from letta_kernel.agent.decisions import Decision
from letta_kernel.service.agent_files import AgentFiles, Imported
from letta_kernel.service.archives import Archives
from letta_kernel.service.everyone import Everyone
from letta_kernel.service.files import FileAdded, FileProgress, Files
from letta_kernel.service.folders import Folders
from letta_kernel.service.identities import Identities
from letta_kernel.service.mcp_followed import FollowedServers
from letta_kernel.service.opening import Opened, Opening
from letta_kernel.service.overview import AgentView, Overview
from letta_kernel.service.shared_blocks import SharedBlocks
from letta_kernel.service.sources import Sources
from letta_kernel.service.toolbox import Toolbox

__all__ = [
    "AgentService",
    "AgentView",
    "ContextPart",
    "ContextReport",
    "Decision",
    "FileAdded",
    "FileProgress",
    "Imported",
    "Opened",
]


class AgentService(
    FollowedServers,
    AgentFiles,
    Overview,
    Sources,
    Folders,
    Toolbox,
    Archives,
    SharedBlocks,
    Everyone,
    Files,
    Identities,
    Opening,
):
    """All agents of one project folder: make, find, talk to, inspect and change them.

    Parameters
    ----------
    home : the project folder; by default ``LETTA_HOME``, or ``.letta`` beside the notebook or where the process
        began. It is made on first use. Several services, in several processes, may share one folder.
    """
