"""Letta Code: the real program where it is installed, and requests of the shape it sends everywhere.

It is looked for in ``LETTA_CODE`` and on the path (``pip install letta``, 0.34 or later), and never fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_wire import Answer, Call
from server_bench import Server

SKILL = {"name": "brewing", "description": "How tea is made.", "location": "/skills/brewing.md"}
SHELL = {
    "name": "run_shell",
    "description": "Run a command on the person's machine.",
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
}


@cache
def program() -> str | None:
    """Return the path of Letta Code; an older ``letta`` is another program."""
    found = os.environ.get("LETTA_CODE") or shutil.which("letta")
    if not found:
        return None
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if "Letta Code" in said.stdout else None


def asked(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a request for a turn, with all that comes along each time."""
    return {
        "messages": messages,
        "streaming": True,
        "stream_tokens": True,
        "include_pings": True,
        "background": True,
        "include_compaction_messages": True,
        "client_skills": [SKILL],
        "client_tools": [SHELL],
    }


def streamed(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the events of a stream that was read whole."""
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_requests_as_letta_code_sends_them(server: Server) -> None:
    scripted = server.scripted
    headers = {**server.headers, "User-Agent": "letta-code/0.34"}
    with httpx.Client(base_url=f"{server.url}/v1", headers=headers, timeout=90) as web:
        assert web.get("/agents/", params={"limit": 1}).json() == []
        handles = [model["handle"] for model in web.get("/models/").json()]
        assert "openai/scripted" in handles
        made = web.post(
            "/agents/",
            json={
                "agent_type": "letta_v1_agent",
                "name": "Coder",
                "model": "openai/scripted",
                "system": "You work on code.",
                "memory_blocks": [
                    {"label": "persona", "value": "I code.", "description": "Who I am."},
                    {"label": "human", "value": "Nothing yet.", "description": "Who they are."},
                ],
                "tags": ["origin:letta-code"],
                "tools": ["web_search", "fetch_webpage"],
                "include_base_tools": False,
                "include_base_tool_rules": False,
                "initial_message_sequence": [],
                "parallel_tool_calls": True,
                "compaction_settings": {"model": "letta/auto"},
                "context_window_limit": 128_000,
            },
        ).json()
        agent = made["id"]
        assert sorted(tool["name"] for tool in made["tools"]) == ["fetch_webpage", "web_search"]
        settings = {"provider_type": "openai", "parallel_tool_calls": True}
        web.patch(f"/agents/{agent}", json={"model_settings": settings}).raise_for_status()
        include = [("include", "agent.tools"), ("include", "agent.tags")]
        assert web.get(f"/agents/{agent}", params=include).json()["tags"] == ["origin:letta-code"]
        # What only Letta's cloud has; the program goes on without it.
        for gone in ("secrets", "mcp-servers", "repositories"):
            assert web.get(f"/agents/{agent}/{gone}").status_code == 404

        conversation = web.post("/conversations/", params={"agent_id": agent}, json={}).json()["id"]
        place = f"/conversations/{conversation}"
        said = [{"type": "text", "text": "<system-reminder>Linux</system-reminder>"}]
        said.append({"type": "text", "text": "List the folder"})
        scripted.call("run_shell", {"command": "ls"}, ids=["call-1"])
        first = streamed(
            web.post(
                f"{place}/messages",
                json=asked([{"role": "user", "content": said, "otid": "one"}]),
            )
        )
        (request,) = (m for m in first if m["message_type"] == "approval_request_message")
        assert [call["name"] for call in request["tool_calls"]] == ["run_shell"]
        assert first[-2]["stop_reason"] == "requires_approval"
        prompt = scripted.requests[-1]["messages"][0]["content"]
        assert "brewing: How tea is made. (/skills/brewing.md)" in prompt
        assert f"- CONVERSATION_ID: {conversation}" in prompt

        # It was closed here and comes back: the newest message says what waits.
        known = web.get(place).json()["in_context_message_ids"]
        newest = web.get(f"{place}/messages", params={"order": "desc", "limit": 50}).json()[0]
        assert newest["id"] == known[-1]
        assert newest["message_type"] == "approval_request_message"
        refused = web.post(f"{place}/messages", json=asked([{"role": "user", "content": "Hello?"}]))
        assert refused.status_code == 409
        assert refused.json()["detail"]["code"] == "PENDING_APPROVAL"
        assert "waiting for approval" in refused.json()["detail"]["message"]
        back = {"type": "tool", "tool_call_id": "call-0", "tool_return": "x", "status": "success"}
        answer = {"type": "approval", "approvals": [back], "otid": "two"}
        wrong = web.post(f"{place}/messages", json=asked([answer]))
        assert (wrong.status_code, "invalid tool call ids" in wrong.text.lower()) == (400, True)

        back |= {"tool_call_id": "call-1", "tool_return": "tea.txt"}
        scripted.say("There is tea.")
        second = streamed(web.post(f"{place}/messages", json=asked([answer])))
        assert second[0]["message_type"] == "tool_return_message"
        pieces = [m["content"] for m in second if m["message_type"] == "assistant_message"]
        assert "".join(pieces) == "There is tea."
        assert second[-2]["stop_reason"] == "end_turn"

        own = {"conversation_id": "default", "limit": 20}
        listed = web.get(f"/agents/{agent}/messages", params=own).json()
        assert [m["message_type"] for m in listed] == ["system_message"]
        search = {"query": "tea", "search_mode": "hybrid", "limit": 10, "agent_id": agent}
        found = web.post("/messages/search", json=search).json()
        assert "There is tea." in json.dumps(found)
        assert [one["id"] for one in web.get("/agents/", params={"limit": 20}).json()] == [agent]


@pytest.mark.skipif(program() is None, reason="Letta Code is not installed: pip install letta")
def test_the_program_itself_holds_turns(server: Server, tmp_path: Path) -> None:
    scripted = server.scripted
    work = tmp_path / "work"
    (work / ".skills" / "brewing").mkdir(parents=True)
    skill = "---\nname: brewing\ndescription: How tea is made.\n---\nPour.\n"
    (work / ".skills" / "brewing" / "SKILL.md").write_text(skill)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LETTA_BASE_URL": server.url,
        "LETTA_API_KEY": server.token,
        "LETTA_CODE_TELEM": "0",
        "DO_NOT_TRACK": "1",
        "DISABLE_AUTOUPDATER": "1",
    }

    def run(*arguments: str) -> str:
        command = [program() or "", *arguments]
        done = subprocess.run(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(text: str, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("-p", text, "--output-format", "json", *more))
        return found

    def shell(body: dict[str, Any]) -> Answer:
        """Call the client's shell, which it offers by one of two names; then say what it returned."""
        last = body["messages"][-1]
        if last["role"] == "tool":
            return Answer(text=f"It says {last['content']}")
        offered = [tool["function"]["name"] for tool in body["tools"]]
        name, argument = ("Bash", "command") if "Bash" in offered else ("exec_command", "cmd")
        arguments = {argument: "echo brewed > tea.txt; cat tea.txt", "description": "Make tea"}
        return Answer(calls=[Call("call-1", name, json.dumps(arguments))])

    said = scripted.default
    scripted.default = shell
    first = ask("Make tea", "--new-agent", "--model", "openai/scripted", "--yolo")
    assert (work / "tea.txt").read_text() == "brewed\n"
    assert "brewed" in first["result"]
    assert "brewing: How tea is made." in scripted.requests[-1]["messages"][0]["content"]
    agent, conversation = first["agent_id"], first["conversation_id"]
    assert {"persona", "human"} <= {block.label for block in server.service.blocks.list(agent)}

    scripted.default = said
    scripted.say("Welcome back.")
    again = ask("Are you there?", "--conversation", conversation)
    assert (again["result"], again["agent_id"]) == ("Welcome back.", agent)
    assert "Make tea" in json.dumps(scripted.requests[-1]["messages"])
    assert agent in run("agents", "list")
    listed = run("messages", "list", "--agent", agent, "--conversation", conversation)
    assert "Welcome back." in listed
    assert "Welcome back." in run("messages", "search", "--query", "welcome", "--agent", agent)

    # A call that waits since the program was cut off is settled when it comes back.
    name = "exec_command"
    tool = {"name": name, "parameters": {"type": "object", "properties": {}}}
    scripted.call(name, {})
    client = server.client()
    left = client.conversations.messages.create(
        conversation,
        input="Stop here",
        client_tools=[tool],
        streaming=False,
    )
    assert left is not None
    assert server.service.runs.pending(agent, conversation)
    scripted.say("Recovered.")
    assert ask("Go on", "--conversation", conversation)["result"] == "Recovered."
    assert server.service.runs.pending(agent, conversation) == []
