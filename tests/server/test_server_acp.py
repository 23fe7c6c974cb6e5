"""``letta-kernel acp`` as its clients see it: the SDK's client, the real command, a scripted model."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import acp
import pytest
from acp import schema
from acp.core import ClientSideConnection
from acp.exceptions import RequestError
from acp.stdio import spawn_agent_process
from scripted_server import ScriptedServer

from letta_kernel.cli.door import TerminalDoor
from letta_kernel.commands import at
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.records import ToolRule
from letta_kernel.server.stdio import LONGEST
from letta_kernel.service import AgentService

MCP_SERVER = Path(__file__).parent.parent / "tools" / "mcp_server.py"
PROGRAM = ("-m", "letta_kernel.cli", "acp")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LATER = 60.0


class Editor:
    """A client that keeps what it is told; ``answer`` says how its person decides."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.raw: list[dict[str, Any]] = []
        self.asked: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda call: "once"
        self.connection: ClientSideConnection
        self.process: asyncio.subprocess.Process

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.heard.append((session_id, update))

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **_: Any
    ) -> schema.RequestPermissionResponse:
        self.asked.append((tool_call, options))
        chosen = self.answer(tool_call)
        if asyncio.iscoroutine(chosen):
            chosen = await chosen
        if chosen is None:
            outcome: Any = schema.DeniedOutcome(outcome="cancelled")
        else:
            outcome = schema.AllowedOutcome(outcome="selected", option_id=chosen)
        return schema.RequestPermissionResponse(outcome=outcome)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        environment = {k: v for k, v in os.environ.items() if k.startswith(("LETTA", "OPENAI"))}
        self.connection, self.process = await self._stack.enter_async_context(
            spawn_agent_process(
                self,
                sys.executable,
                *PROGRAM,
                env=environment,
                transport_kwargs={"limit": 10_000_000, "shutdown_timeout": LATER},
                observers=[lambda event: self.raw.append(event.message)],
            )
        )
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._stack.aclose()

    async def say(self, session: str, *blocks: Any) -> schema.PromptResponse:
        said = [acp.text_block(one) if isinstance(one, str) else one for one in blocks]
        return await asyncio.wait_for(self.connection.prompt(session, said), LATER)

    def told(self, kind: str, session: str | None = None) -> list[Any]:
        return [
            update
            for where, update in self.heard
            if update.session_update == kind and session in (None, where)
        ]

    def text(self, kind: str = "agent_message_chunk", session: str | None = None) -> str:
        return "".join(update.content.text for update in self.told(kind, session))

    async def until(self, holds: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not holds():
                await asyncio.sleep(0.01)

        await asyncio.wait_for(wait(), LATER)


def call(editor: Editor, call_id: str) -> dict[str, Any]:
    """What a client knows of a call at last, and the states it went through."""
    known: dict[str, Any] = {"states": []}
    for _, update in editor.heard:
        if getattr(update, "tool_call_id", "") == call_id:
            known["states"].append(update.status)
            for field in ("title", "kind", "status", "content", "raw_input"):
                if getattr(update, field) is not None:
                    known[field] = getattr(update, field)
    return known


def test_a_conversation_in_an_editor(service: AgentService, scripted: ScriptedServer) -> None:
    rule = ToolRule(type="requires_approval", tool_name="core_memory_append")
    ada = service.agents.create("ada", model="openai/scripted", tool_rules=[rule])

    async def story() -> None:
        async with Editor() as editor:
            await _story(editor)
        assert editor.process.returncode == 0
        assert editor.process.stderr is not None
        assert await editor.process.stderr.read() == b""

    async def _story(editor: Editor) -> None:
        connection = editor.connection
        able = await asyncio.wait_for(connection.initialize(protocol_version=1), LATER)
        assert able.protocol_version == 1
        assert able.agent_capabilities is not None
        assert able.agent_capabilities.load_session
        assert able.agent_info is not None
        assert able.agent_info.title == "ada"

        # What is no message is refused, and ends nothing.
        assert editor.process.stdin is not None
        for line in (b"no json", b"[1]", b'{"id": [1]}', b"x" * (LONGEST + 10), b"[" * 100_000):
            editor.process.stdin.write(line + b"\n")
        await editor.until(lambda: sum("error" in one for one in editor.raw) == 5)
        assert {one["error"]["code"] for one in editor.raw if "error" in one} == {-32700, -32600}

        new = await connection.new_session(cwd="/", mcp_servers=[])
        session = new.session_id
        assert new.modes is not None
        assert [mode.id for mode in new.modes.available_modes] == ["ask", "approve", "deny", "wait"]
        assert new.config_options is not None
        assert new.config_options[0].current_value == "openai/scripted"

        # Thoughts, answers, what was linked and what was sent along.
        scripted.reason("A greeting.", "Good morning.")
        link = acp.resource_link_block("notes.txt", "file:///etc/hostname")
        beside = acp.resource_block(acp.embedded_text_resource("file:///a/b.py", "x = 1"))
        done = await editor.say(session, "Look at ", link, " and ", beside)
        assert done.stop_reason == "end_turn"
        assert done.usage is not None
        assert done.usage.total_tokens > 0
        assert editor.text("agent_thought_chunk") == "A greeting."
        [window] = editor.told("usage_update")
        assert 0 < window.used < window.size
        assert editor.text() == "Good morning."
        assert len({one.message_id for one in editor.told("agent_message_chunk")}) == 1
        said = scripted.requests[-1]["messages"][-1]["content"]
        assert "Look at [notes.txt](file:///etc/hostname) and [b.py](file:///a/b.py)" in said
        assert '<resource uri="file:///a/b.py">\nx = 1\n</resource>' in said
        assert editor.told("session_info_update")[0].title.startswith("Look at")

        scripted.say("A pixel.")
        await editor.say(session, "What is ", acp.image_block(PIXEL, "image/png"), "?")
        [before, picture, _] = scripted.requests[-1]["messages"][-1]["content"]
        assert "What is" in before["text"]
        assert picture["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"

        # A call that needs a person's word: once, then for the session, then never.
        def append(text: str) -> None:
            arguments = {"label": "human", "content": text}
            scripted.calls([("core_memory_append", arguments)], ids=[f"call-{text}"])

        append("Kim")
        scripted.say("Kept.")
        await editor.say(session, "I am Kim.")
        [(question, options)] = editor.asked
        assert "core_memory_append(label='human', content='Kim')" in question.title
        assert [one.kind for one in options] == ["allow_once", "allow_always", "reject_once"]
        known = call(editor, "call-Kim")
        assert known["states"] == ["pending", "in_progress", "completed"]
        assert (known["kind"], known["raw_input"]["content"]) == ("edit", "Kim")
        assert known["content"][0].new_text.endswith("Kim")
        editor.answer = lambda asked: "no"
        append("Max")
        scripted.say("Then not.")
        await editor.say(session, "I am Max.")
        assert call(editor, "call-Max")["status"] == "failed"
        editor.answer = lambda asked: "session"
        for text in ("tall", "old"):
            append(text)
            scripted.say("Kept.")
            await editor.say(session, f"I am {text}.")
        assert len(editor.asked) == 3
        block = service.blocks.retrieve("human", agent=ada.id).value
        assert ("Kim" in block, "Max" in block, "tall" in block, "old" in block) == (
            *(True, False, True, True),
        )
        other = (await connection.new_session(cwd="/", mcp_servers=[])).session_id
        await connection.set_session_mode(other, "deny")
        append("here")
        scripted.say("Denied.")
        await editor.say(other, "I am here.")
        assert call(editor, "call-here")["status"] == "failed"
        assert len(editor.asked) == 3, "the mode has decided"

        # Stopped while it asks: the call goes on waiting, and the next message asks again.
        await connection.set_session_mode(other, "ask")

        async def undecided() -> str | None:
            await connection.cancel(other)
            return None

        editor.answer = lambda asked: undecided()
        append("late")
        assert (await editor.say(other, "I am late.")).stop_reason == "cancelled"
        assert [one.id for one in service.runs.pending(ada.id, other)] == ["call-late"]
        editor.answer = lambda asked: "once"
        scripted.say("Late, then.")
        scripted.say("Good night.")
        assert (await editor.say(other, "Good night.")).stop_reason == "end_turn"
        assert call(editor, "call-late")["status"] == "completed"
        assert editor.text(session=other).endswith("Late, then.\n\nGood night.")

        # Stopped while it speaks; a second prompt meanwhile is refused.
        scripted.hang_mid_stream(60, "Once upon")
        speaking = asyncio.ensure_future(editor.say(other, "Tell me a story."))
        await editor.until(lambda: "Once" in editor.text(session=other))
        with pytest.raises(RequestError, match="is answering"):
            await editor.say(other, "Well?")
        await connection.cancel(other)
        assert (await speaking).stop_reason == "cancelled"

        # What goes wrong is one line.
        scripted.fault(401)
        for wrong in (
            editor.say(other, "Hello?"),
            editor.say(other, ""),
            editor.say(other, acp.image_block("aGk=", "image/png")),
            editor.say(other, acp.audio_block("aGk=", "audio/wav")),
            editor.say("conv-none", "Hello?"),
            connection.load_session("/", "agent-none"),
            connection.set_session_mode(other, "free"),
            connection.set_config_option("model", other, "nobody/nothing"),
            connection.set_config_option("colour", other, "red"),
        ):
            with pytest.raises(RequestError) as refused:
                await wrong
            assert "\n" not in str(refused.value)
            assert "Traceback" not in str(refused.value)
        chosen = await connection.set_config_option("model", other, "demo")
        assert chosen.config_options[0].current_value == "demo"

        # Loaded again, it tells what was said; the agent's own thread is a session too.
        listed = await connection.list_sessions()
        assert {one.session_id for one in listed.sessions} == {session, other}
        editor.heard.clear()
        await connection.load_session("/", session)
        assert editor.text().startswith("Good morning.A pixel.Kept.")
        assert "I am Kim." in editor.text("user_message_chunk")
        assert call(editor, "call-Kim")["states"] == ["pending", "completed"]
        assert call(editor, "call-Max")["status"] == "failed"
        scripted.say("As in notebooks.")
        await editor.say(ada.id, "Who am I?")
        assert service.messages.history(ada.id)[-1].content == "As in notebooks."
        assert ada.id in {one.session_id for one in (await connection.list_sessions()).sessions}
        # The client's MCP servers are the session's: reading is free, all else asks, nothing is kept.
        birds = schema.McpServerStdio(
            name="birds", command=sys.executable, args=[str(MCP_SERVER)], env=[]
        )
        gone = schema.McpServerStdio(name="gone", command="/nowhere", args=[], env=[])
        fresh = await connection.new_session(cwd="/", mcp_servers=[birds, gone])
        asked_before = len(editor.asked)
        editor.answer = lambda asked: "no"
        scripted.calls([("add", {"a": 2, "b": 3})], ids=["call-add"])
        scripted.calls([("fail", {"reason": "x"})], ids=["call-fail"])
        scripted.say("Five.")
        await editor.say(fresh.session_id, "How many birds?")
        assert "'gone'" in editor.text("agent_thought_chunk", fresh.session_id)
        assert call(editor, "call-add")["content"][0].content.text == "5"
        assert call(editor, "call-fail")["status"] == "failed"
        assert len(editor.asked) == asked_before + 1
        assert service.mcp.list() == []
        forked = (await connection.fork_session(session_id=session, cwd="/")).session_id
        await connection.resume_session(session_id=forked, cwd="/")
        await connection.close_session(forked)

    asyncio.run(story())


def test_which_agent_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = TerminalDoor(tmp_path / ".letta", json=False, makes=True)
    command = at("terminal")["acp"]
    with pytest.raises(NotFoundError, match="There is no agent"):
        opened.run(command, {})
    for name in ("ada", "bob"):
        opened.service.agents.create(name, model="demo")
    with pytest.raises(InvalidInputError, match="Name one of the agents: ada, bob"):
        opened.run(command, {})
    monkeypatch.setitem(sys.modules, "acp", None)  # as if it were not installed
    with pytest.raises(InvalidInputError) as lacking:
        opened.run(command, {"agent": "ada"})
    assert "[acp]" in lacking.value.in_words(opened.words)
    opened.close()
