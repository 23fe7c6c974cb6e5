"""What MCP clients can do with agents: functions, whose docstrings and types describe the tools."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any

from pydantic import Field

from letta_kernel.commands.approvals import by_policy, described
from letta_kernel.errors import InvalidInputError, LettaError
from letta_kernel.messages import ApprovalRequested, RunEnded, StepEnded, ToolCall, ToolStarted
from letta_kernel.server.authorization import guest, need_owner, shared, visible
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.service import AgentService
from letta_kernel.stop_reasons import failed

Progress = Callable[[float, str], Awaitable[None]]

LONGEST = 200_000
"""Characters of a text that is put into an archive at a time."""

_MOST_HITS = 50
_MOST_TAGS = 50
_Limit = Annotated[int, Field(ge=1, le=_MOST_HITS)]


class AgentTools:
    """The tools, for one call of one client.

    Parameters
    ----------
    runs
        Where runs are begun, and what ends them.
    by
        Who calls: versions of memory are written in this name.
    progress
        Is told how far a run has come.
    """

    def __init__(self, runs: RunManager, by: str, progress: Progress) -> None:
        self._runs, self._by, self._progress = runs, by, progress

    @property
    def _service(self) -> AgentService:
        return self._runs.service

    def list_agents(self) -> dict[str, Any]:
        """List the agents: their names, what they are for, the model that answers, and whether they run."""
        standing = self._service.runs.standing()
        agents = [
            {
                "id": one.id,
                "name": one.name,
                "description": one.description,
                "model": self._service.runs.model_of(one.id),
                "state": standing[one.id].state if one.id in standing else "idle",
            }
            for one in visible(self._service.agents.list())
        ]
        agents += [
            {
                "id": one.state.id,
                "name": one.name,
                "description": one.state.description,
                "model": "",
                "state": "",
                "kept": f"What is said to it is kept in {one.owner}'s project under your name; "
                f"{one.owner} and whoever runs the server can read it.",
            }
            for one in shared()
        ]
        return {"agents": agents}

    async def send_message(
        self, agent: str, message: str, conversation: str | None = None
    ) -> dict[str, Any]:
        """Send a message to an agent and wait for its answer. It remembers what was said before.

        Args:
            agent: The agent's name or id.
            message: What to tell or ask it.
            conversation: The id of one of its conversations; its own thread if not given.
        """
        said: str | list[Any] = message
        found: dict[str, Any] = {"answer": "", "tools_called": []}
        while True:
            run = await self._runs.start_async(agent, said, conversation=conversation)
            ended, calls = await self._followed(run, found)
            decisions = by_policy(calls) if calls else None
            if decisions is None:
                break
            said = decisions
        if ended is not None and failed(ended.stop_reason):
            raise LettaError(ended.error or f"The run ended with {ended.stop_reason}.")
        found["run_id"], found["stop_reason"] = run.id, ended.stop_reason if ended else "error"
        if calls:
            found["waits_for_approval"] = [described(call) for call in calls]
        return found

    async def _followed(
        self, run: LiveRun, found: dict[str, Any]
    ) -> tuple[RunEnded | None, list[ToolCall]]:
        """Take what a run says into *found*; a client that is not there any more ends it."""
        ended, calls, steps = None, [], 0
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    if isinstance(event, ToolStarted):
                        found["tools_called"].append(event.name)
                        await self._progress(steps, f"calls {event.name}")
                    elif isinstance(event, StepEnded):
                        steps += 1
                        parts = [found["answer"]]
                        parts += [m.said for m in event.messages if m.role == "assistant"]
                        found["answer"] = "\n\n".join(part for part in parts if part.strip())
                        await self._progress(steps, f"step {steps}")
                    elif isinstance(event, ApprovalRequested):
                        calls = event.calls
                    elif isinstance(event, RunEnded):
                        ended = event
        finally:
            run.cancel()
        return ended, calls

    def read_memory(self, agent: str, label: str | None = None) -> dict[str, Any]:
        """Read an agent's memory blocks, which it always sees.

        Args:
            agent: The agent's name or id.
            label: One block; all of them if not given.
        """
        blocks = self._service.blocks.list(agent)
        if label is not None:
            blocks = [self._service.blocks.retrieve(label, agent=agent)]
        fields = {"label", "value", "description", "limit", "read_only", "version"}
        return {"blocks": [one.model_dump(include=fields) for one in blocks]}

    def write_memory(
        self,
        agent: str,
        label: str,
        value: str,
        reason: str = "",
        expected_version: int | None = None,
    ) -> dict[str, Any]:
        """Write the whole text of a memory block; one that is not there is made. Every version is kept.

        Args:
            agent: The agent's name or id.
            label: The block's label.
            value: Its new text.
            reason: Why, as its history tells.
            expected_version: The version that was read before; if it is not the newest, nothing is written.
        """
        known = {one.label: one for one in self._service.blocks.list(agent)}
        if label in known and known[label].read_only:
            raise InvalidInputError(
                f"The block {label!r} can only be read.", page="block-read-only"
            )
        if guest() is not None:
            others = label in known and len(self._service.blocks.agents(known[label].id)) > 1
            if label not in known or others:
                need_owner(f"Making the block {label!r:.100}, or writing one that agents share,")
        written = self._service.blocks.upsert(
            label,
            value,
            agent=agent,
            actor=self._by if guest() is None else None,  # the guest
            reason=reason,
            expected_version=expected_version,
        )
        return {"label": written.label, "version": written.version}

    def search_archive(
        self,
        agent: str,
        query: str,
        limit: _Limit = 10,
        tags: list[str] | None = None,
    ) -> dict[str, Any]:
        """Search an agent's archive by meaning and words, best first; an empty query gives the newest.

        Args:
            agent: The agent's name or id.
            query: Words or a question.
            limit: How many passages at most.
            tags: Only passages with one of these.
        """
        hits = self._service.passages.search(query, agent=agent, tags=tags, top_k=limit)
        fields = {"id", "content", "tags", "created_at"}
        return {"passages": [hit.passage.model_dump(mode="json", include=fields) for hit in hits]}

    def insert_archive(
        self, agent: str, text: str, tags: list[str] | None = None
    ) -> dict[str, Any]:
        """Put a text into an agent's archive, where it can find it later.

        Args:
            agent: The agent's name or id.
            text: The text; a long one becomes several passages.
            tags: Words to find it by.
        """
        if len(text) > LONGEST or len(tags or ()) > _MOST_TAGS:
            raise InvalidInputError(
                f"A text for the archive has at most {LONGEST:,} characters and {_MOST_TAGS} tags."
            )
        if self._service.archives.list(agent=agent):
            need_owner("Writing into an archive that agents share")
        made = self._service.passages.create(
            text, tags or [], agent=agent, metadata={"by": self._by}, reason=self._by
        )
        return {"passages": [one.id for one in made]}


READING = ("list_agents", "read_memory", "search_archive")
WRITING = ("send_message", "write_memory", "insert_archive")
NAMES = (*READING, *WRITING)


def shown(name: str, result: dict[str, Any]) -> str:
    """Return what a model reads of a result: an answer as it is, all else as JSON."""
    if name == "send_message" and result["answer"] and "waits_for_approval" not in result:
        return str(result["answer"])
    return json.dumps(result, ensure_ascii=False)
