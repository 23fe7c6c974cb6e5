"""Messages: what was said to agents and by them, page by page, searched, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.agent.settings import AgentSettings, timezone_of
from letta_kernel.agent.window import Compactor, Mode
from letta_kernel.errors import NotFoundError
from letta_kernel.memory.recall import MOST_HITS, MessageHit
from letta_kernel.messages import Message
from letta_kernel.models.base import Cancel
from letta_kernel.pictures.picture import Picture, Thumbnail, read
from letta_kernel.records import AgentState
from letta_kernel.service import points
from letta_kernel.service.admission import counted
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.preparation import Preparation
from letta_kernel.service.recordings import Recordings
from letta_kernel.store import agents, conversations, messages, pictures, runs, said
from letta_kernel.store.database import Tx

OWN = "default"
"""The name of an agent's own thread among its conversations."""
MOST_BYTES = 20_000_000
"""Bytes of pictures that a list of messages brings with it, where nothing else is said."""
MOST_FOUND = 50
"""Messages that a search of several agents returns, where nothing else is said."""


class Messages:
    """The messages of a project, in the threads of its agents."""

    def __init__(
        self, core: Core, memories: Memories, preparation: Preparation, recordings: Recordings
    ) -> None:
        self._core = core
        self._memories = memories
        self._preparation = preparation
        self._recordings = recordings

    def retrieve(self, message_id: str) -> Message:
        """Return one message, whosever it is; `NotFoundError` if there is none."""
        found = self._core.do(lambda tx: messages.get(tx, message_id))
        if found is None:
            raise NotFoundError(f"There is no message {message_id!r}.")
        return found

    def run_of(self, ref: str, otid: str) -> str | None:
        """Return the id of the newest run that an agent began with a message that its client calls *otid*."""

        def work(tx: Tx) -> str | None:
            return messages.run_of(tx, self._core.agent(tx, ref).id, otid)

        return self._core.do(work)

    def history(
        self,
        ref: str,
        limit: int = 50,
        before: int | None = None,
        conversation: str | None = None,
    ) -> list[Message]:
        """Return the newest *limit* messages of a thread (before seq *before*), oldest first."""

        def work(tx: Tx) -> list[Message]:
            state = self._core.thread(tx, ref, conversation)
            return messages.page(tx, state.id, before=before, limit=limit, thread=state.thread)

        return self._core.do(work)[::-1]

    def approvals(self, ref: str, conversation: str | None = None) -> list[Message]:
        """Return the last message of a thread that asked for approval, its returns, and the newest."""

        def work(tx: Tx) -> list[Message]:
            state = self._core.thread(tx, ref, conversation)
            newest = messages.page(tx, state.id, limit=20, thread=state.thread)[::-1]
            asking = messages.last_asking(tx, state.thread)
            if asking is None or asking.seq >= newest[0].seq:
                return newest
            returned = messages.page(
                tx,
                state.id,
                after=asking.seq,
                before=newest[0].seq,
                limit=len(asking.tool_calls),
                newest_first=False,
                thread=state.thread,
            )
            return [asking, *returned, *newest]

        return self._core.do(work)

    def with_pictures(self, found: Sequence[Message], most: int = MOST_BYTES) -> list[Message]:
        """Return messages whose pictures have their bytes, the first *most* bytes of them."""
        if not any(message.pictures for message in found):
            return [*found]
        return self._core.do(lambda tx: pictures.filled(tx, found, most))

    def picture(self, picture_id: str) -> Picture:
        """Return a picture that a message has; `NotFoundError` if there is none of this id."""
        data = self._core.do(lambda tx: pictures.file(tx, picture_id))
        if data is None:
            raise NotFoundError(f"There is no image {picture_id[:80]!r} in the messages here.")
        return read(data)

    def thumbnails(self, found: Sequence[Message]) -> dict[str, list[Thumbnail]]:
        """Return what is shown of the pictures of those messages that have some, by the message's id."""

        def work(tx: Tx) -> dict[str, list[Thumbnail]]:
            having = (message for message in found if message.pictures)
            return {one.id: pictures.thumbnails(tx, one.pictures) for one in having}

        return self._core.do(work)

    def in_context(self, ref: str, conversation: str | None = None) -> list[Message]:
        """Return what the context window of a thread holds: the summary, then the messages."""

        def work(tx: Tx) -> list[Message]:
            state = self._core.thread(tx, ref, conversation)
            seen = messages.window(tx, state.thread, state.window_start)
            head = messages.get_many(tx, [state.summary_id]) if state.summary_id else []
            return [*head, *(message for message in seen if message.role != "summary")]

        return self._core.do(work)

    def held(self, found: Sequence[Message]) -> dict[str, str]:
        """Return which calls in *found* were held for approval, and the message that made each."""
        return self._core.do(lambda tx: _held(tx, found))

    def insert(self, ref: str, new: Sequence[Message]) -> list[Message]:
        """Put messages into an agent's history that nobody answers; it must not be running."""

        def work(tx: Tx) -> list[Message]:
            state = self._core.agent(tx, ref)
            agents.check_idle(tx, state.id)
            return messages.append(tx, state.id, new)

        return self._core.do(work)

    def search(
        self,
        query: str,
        *,
        agent: str | None = None,
        conversation: str | None = None,
        at: str | None = None,
        **filters: Any,
    ) -> list[MessageHit]:
        """Search what was said with one agent, in one conversation, or (with neither) everywhere, best first.

        Filters are roles, limit, start, end, timezone, as_of, and with an agent alone page. Moments
        without a zone are meant in *timezone*; the agent's own if it is not given.

        Parameters
        ----------
        conversation : only messages of this one; `OWN` for those of no other conversation.
        at : a step, run or branch of the *agent*: only what its line had there.
        """
        if agent is not None and conversation is None:
            state = self._core.find_agent(agent)
            filters["timezone"] = filters.get("timezone") or timezone_of(state.settings)
            recall = self._memories.of(state)[1]
            if at is None:
                return recall.search(state.id, query, **filters)
            point = self._core.do(lambda tx: points.find(tx, state, at))
            return recall.search_pieces(said.of_line(state.id, point.parts), query, **filters)

        def work(tx: Tx) -> list[AgentState]:
            if conversation is not None and conversation != OWN:
                return [self._core.agent(tx, self._core.conversation(tx, conversation).agent_id)]
            return [self._core.agent(tx, agent)] if agent is not None else agents.list_all(tx)

        limit: int = filters.pop("limit", MOST_FOUND)
        found: list[MessageHit] = []
        most = limit if conversation is None else MOST_HITS
        for state in self._core.do(work):
            recall = self._memories.of(state)[1]
            hits = recall.search(state.id, query, limit=most, **filters)
            if conversation is not None:
                if conversation == OWN:  # of others it has only what its own thread inherits
                    own = {None} | {
                        h.message.conversation_id for h in hits if h.message.agent_id != state.id
                    }
                    hits = [hit for hit in hits if hit.message.conversation_id in own]
                else:
                    hits = [hit for hit in hits if hit.message.conversation_id == conversation]
            found += hits[:limit]
        if query.strip():
            found.sort(key=lambda hit: -hit.score)  # stable: an agent's own order stays
        else:
            found.sort(key=lambda hit: hit.message.created_at, reverse=True)
        return found[:limit]

    def compact(
        self, ref: str, conversation: str | None = None, mode: Mode | None = None
    ) -> Message | None:
        """Summarise the conversation now instead of when the window is full; None if it is too short.

        Parameters
        ----------
        mode : instead of the agent's setting ``compaction``.

        Raises
        ------
        AgentBusyError
            A run of the agent is going on.
        """
        state = self._core.do(lambda tx: self._core.thread(tx, ref, conversation))
        settings = AgentSettings.model_validate(state.settings)
        chat = self._recordings.open_model(state.model, settings)
        loaded = self._core.do(lambda tx: self._preparation.read(tx, state, settings, chat))
        compactor = Compactor(
            chat, mode or settings.compaction, self._preparation.prompt(state, loaded)
        )
        count = compactor.cut(loaded.window, loaded.window.tokens() // 2)
        if count == 0:
            return None
        with counted(self._core.admission, state.id) as took:
            made = compactor.compact(loaded.window, count, Cancel(), agent_id=state.id, run_id=None)
            took(made.usage)
        state.window_start, state.summary_id = loaded.window.messages[0].seq, made.summary.id

        def work(tx: Tx) -> Message:
            agents.check_idle(tx, state.thread_id)
            conversations.move_window(tx, state)
            return messages.append(
                tx, state.id, [made.summary], conversation_id=state.conversation_id
            )[0]

        return self._core.do(work)

    # Last, so that `list` in the annotations above is Python's.
    def list(
        self, agent: str | None = None, conversation: str | None = None, **wanted: Any
    ) -> list[Message]:
        """Return messages of an agent's own thread, of a conversation, or (with neither) of everybody.

        *wanted* is before, after, limit, roles, newest_first, start, end, run_id, step_id, marks, as
        `store.messages.page` takes them; those of a run or step are found in whatever thread it was.
        """

        def work(tx: Tx) -> list[Message]:
            if agent is not None:
                state = self._core.thread(tx, agent, conversation)
                if by_run := wanted.get("run_id") or wanted.get("step_id"):
                    return messages.page(tx, _owner(tx, state, by_run), **wanted)
                return messages.page(tx, state.id, thread=state.thread, **wanted)
            if conversation is None:
                return messages.page(tx, None, **wanted)
            thread = self._core.conversation(tx, conversation)
            return messages.page(tx, thread.agent_id, thread=thread, **wanted)

        return self._core.do(work)


def _owner(tx: Tx, state: AgentState, ref: str) -> str:
    """Return whose run or step *ref* is: the agent's, or one's whose history it shares."""
    row = runs.get(tx, ref) or runs.get_step(tx, ref)
    shared = {part.agent for part in state.inherits}
    return row.agent_id if row is not None and row.agent_id in shared else state.id


def _held(tx: Tx, found: Sequence[Message]) -> dict[str, str]:
    """Return the calls of *found* whose step ended by asking for approval."""
    spoken = [message for message in found if message.role == "assistant" and message.tool_calls]
    steps = {message.step_id for message in spoken if message.step_id}
    asking = runs.asking(tx, steps) if steps else set()
    held = {
        call.id: message.id
        for message in spoken
        if message.step_id in asking
        for call in message.tool_calls
    }
    # Results in a step in which nothing was said settle the calls of a step before.
    answers = {m.step_id for m in found if m.role == "tool" and m.step_id} - steps
    if answers:
        for message in messages.before_steps(tx, answers):
            held.update({call.id: message.id for call in message.tool_calls})
    return held
