"""Looking back at what agents said, did and cost, and at what they would see now."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from letta_kernel.agent.calls import CallRunner
from letta_kernel.agent.context import ContextPart, ContextReport, compile_blocks
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.messages import Message
from letta_kernel.models.base import ChatModel
from letta_kernel.records import AgentState, Step, WholeRun
from letta_kernel.service.conversations import Conversations
from letta_kernel.service.loading import Loaded, Loading
from letta_kernel.store import messages, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.runs import Cost
from letta_kernel.tools.execute import ToolHost


class Looking(Conversations, Loading):
    """The part of the service that tells about runs."""

    def model_of(self, ref: str) -> str:
        """Return the name of the model that would answer now."""
        return self._model_name(self.agent(ref).model)

    def history(
        self,
        ref: str,
        limit: int = 50,
        before: int | None = None,
        conversation: str | None = None,
    ) -> list[Message]:
        """Return the newest *limit* messages of a thread (before seq *before*), oldest first."""

        def work(tx: Tx) -> list[Message]:
            state = self._thread(tx, ref, conversation)
            return messages.page(tx, state.id, before=before, limit=limit, thread=state.thread)

        return self.do(work)[::-1]

    def page(self, ref: str, conversation: str | None = None, **wanted: Any) -> list[Message]:
        """Return part of a thread's history; *wanted* is as `store.messages.page` takes it."""

        def work(tx: Tx) -> list[Message]:
            state = self._thread(tx, ref, conversation)
            return messages.page(tx, state.id, thread=state.thread, **wanted)

        return self.do(work)

    def runs(self, ref: str, limit: int = 50, before: str | None = None) -> list[WholeRun]:
        """Return an agent's runs, newest first, older than the run *before*.

        One that waited for an approval and went on is one run.
        """
        return self.do(lambda tx: runs.whole(tx, self._agent(tx, ref).id, limit, before))

    def cost(
        self, ref: str | None = None, *, notebook: str | None = None, since: datetime | None = None
    ) -> Cost:
        """Return what runs took: of one agent or all, in one notebook or all, since a moment or ever."""
        agent_id = self.agent(ref).id if ref else None
        return self.do(lambda tx: runs.cost(tx, agent_id, notebook, since))

    def steps(self, run_id: str) -> list[Step]:
        """Return the steps of a run in order."""
        return self.do(lambda tx: runs.steps_of(tx, run_id))

    def whole_steps(self, run_id: str) -> list[Step]:
        """Return the steps of a run of `runs`, with those after approvals, numbered through."""
        return self.do(lambda tx: runs.whole_steps(tx, run_id))

    def system_prompt(self, ref: str, conversation: str | None = None) -> str:
        """Return the system prompt a run would begin with now."""
        state = self.do(lambda tx: self._thread(tx, ref, conversation))
        settings = AgentSettings.model_validate(state.settings)
        chat = self._open_model(state, settings)
        return self._prompt(state, self.do(lambda tx: self._read(tx, state, settings, chat)))

    def _calls(
        self, state: AgentState, loaded: Loaded, chat: ChatModel, host: ToolHost | None = None
    ) -> CallRunner:
        """Return what offers and runs the tools of a run with *chat*."""
        return CallRunner(
            tools=self._offered(state, loaded.tools),
            executor=self._executor(host, state),
            context=self._context(state),
            tool_rules=state.tool_rules,
            style=state.style,
            thinks=chat.supports_reasoning,
        )

    def context(self, ref: str, conversation: str | None = None) -> ContextReport:
        """Return what the model would see now, part by part, with the tokens each part takes."""
        state = self.do(lambda tx: self._thread(tx, ref, conversation))
        settings = AgentSettings.model_validate(state.settings)
        chat = self._open_model(state, settings)
        loaded = self.do(lambda tx: self._read(tx, state, settings, chat))
        window = loaded.window
        prompt = self._prompt(state, loaded)
        memory = compile_blocks(loaded.blocks)
        calls = self._calls(state, loaded, chat)
        schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in calls.offered())
        texts = {
            "instructions": prompt.replace(memory, "").replace(loaded.files, "").strip(),
            "memory blocks": memory,
            **({"files": loaded.files} if loaded.files else {}),
            "tools": schemas,
        }
        parts = [
            ContextPart(name, chat.count_tokens(text) if text else 0, text)
            for name, text in texts.items()
        ]
        room = chat.context_window - sum(part.tokens for part in parts)
        window.most = max(1, room // 2)  # as a run does: longer messages are shown shortened
        sent = window.chat()
        summary = [sent.pop(0)] if window.summary else []
        for name, size, entries in (
            ("summary", window.size(window.summary) if window.summary else 0, summary),
            ("history", sum(map(window.size, window.messages)), sent),
        ):
            parts.append(ContextPart(name, size, "\n".join(map(_as_sent, entries))))
        return ContextReport(chat.name, chat.context_window, parts)


def _as_sent(entry: dict[str, Any]) -> str:
    """Return one message of a chat as a line of text, its content just as the model gets it."""
    calls = [call["function"] for call in entry.get("tool_calls", ())]
    said = "".join(f" [calls {call['name']}({call['arguments']})]" for call in calls)
    return f"{entry['role']}: {entry['content'] or ''}{said}"
