"""An agent with a tool that shouts, as tests of messages make it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server_bench import Server

SHOUT = '''def shout(text: str) -> str:
    """Shout.

    Args:
        text: what to shout
    """
    return text.upper() + "!"
'''


WHISPER = SHOUT.replace("shout", "whisper").replace('.upper() + "!"', ".lower()")


def kinds(messages: Iterable[Any]) -> list[str]:
    return [message.message_type for message in messages]


def agent_with_shout(server: Server, *, approval: bool = False, **fields: Any) -> str:
    client = server.client()
    tool = client.tools.create(source_code=SHOUT, default_requires_approval=approval)
    return client.agents.create(name="ada", tool_ids=[tool.id], **fields).id
