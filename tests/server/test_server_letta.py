"""Programs written for Letta that meet corners of its API: run as they are, through its SDK."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from letta_client import NotFoundError
from pydantic import BaseModel
from server_bench import Server

DRAW = '''
def draw(line: "Line", colour, more: "list[Line]" = (), end: "Point | None" = None):
    """Draw a line.

    Args:
        line: where
        colour: its colour
        more: further lines
        end: where it ends
    """
    kinds = [type(line).__name__, type(line.points[0]).__name__, type(colour).__name__]
    print(line.name, line.start.y, more[0].start.x if more else "no more", end)
    return " ".join(kinds)
'''


WHO = '''
def who(agent_state):
    """Say who asks."""
    import os

    me = client.agents.retrieve(agent_id=os.environ["LETTA_AGENT_ID"])
    assert (me.id, me.name, me.tags) == (agent_state.id, agent_state.name, agent_state.tags)
    return " ".join([me.name, *me.tags, *(tool.name for tool in agent_state.tools)])
'''


SHOUT = '''
def shout(text: str) -> str:
    """Shout.

    Args:
        text: What to shout.
    """
    return text.upper()
'''


HUMAN: Any = {"label": "human", "value": "Kim"}


class Point(BaseModel):
    x: int
    y: int = 2


class Line(BaseModel):
    start: Point
    points: list[Point] = []
    name: str | None = None


class Colour(BaseModel):
    shade: str


class Draw(BaseModel):
    line: Line
    colour: Colour
    more: list[Line] = []
    end: Point | None = None


def test_arguments_arrive_as_objects_of_the_schema_that_came_with_the_source(
    server: Server,
) -> None:
    client = server.client()
    schema = Draw.model_json_schema()
    tool = client.tools.upsert(source_code=DRAW, args_json_schema=schema, tags=["art"])
    assert tool.args_json_schema == schema
    assert client.tools.create(source_code=DRAW, args_json_schema=schema).id == tool.id
    assert client.tools.update(tool.id, return_char_limit=500).args_json_schema == schema
    assert client.tools.retrieve(tool.id).tags == ["art"]
    agent = client.agents.create(name="ada", tool_ids=[tool.id]).id
    line = {"start": {"x": 1}, "points": [{"x": 5}]}
    server.scripted.call("draw", {"line": line, "colour": {"shade": "red"}, "more": [line]})
    server.scripted.say("Drawn.")
    answer = client.agents.messages.create(agent, input="Draw")
    (returned,) = (m for m in answer.messages if m.message_type == "tool_return_message")
    assert returned.tool_return == "Line Point Colour"
    assert returned.stdout == ["None 2 1 None\n"]
    file = json.dumps(json.loads(client.agents.export_file(agent)))
    for _ in range(2):  # an agent's name may be another's, too
        came = client.agents.import_file(file=io.BytesIO(file.encode()))
        assert client.agents.retrieve(came.agent_ids[0]).name == "ada"
    listed = client.agents.messages.list(came.agent_ids[0]).items
    assert [m.stdout for m in listed if m.message_type == "tool_return_message"] == [
        returned.stdout
    ]


PLAIN = '''
def plain(doc: "Document", colour: "Colour", line):
    """Say what came."""
    return [doc["_id"], colour == "red", line.start.x, line.start.y]
'''


def test_a_schema_that_makes_no_class_of_all_breaks_no_tool_and_goes_with_its_source(
    server: Server,
) -> None:
    client = server.client()
    schema = Draw.model_json_schema()
    text = {"type": "string"}
    schema["$defs"] |= {
        "Document": {"type": "object", "properties": {"_id": text}},
        "Colour": {**text, "enum": ["red", "", "mro"]},
    }
    schema["properties"] = {
        "doc": {"$ref": "#/$defs/Document"},
        "colour": {"$ref": "#/$defs/Colour"},
        "line": {"$ref": "#/$defs/Line"},
    }
    schema["required"] = ["doc", "colour", "line"]
    schema["$defs"]["Line"]["properties"]["start"]["default"] = {"x": 7}
    schema["$defs"]["Line"]["required"] = []
    tool = client.tools.create(source_code=PLAIN, args_json_schema=schema)
    agent = client.agents.create(name="ada", tool_ids=[tool.id])
    given: dict[str, Any] = {"doc": {"_id": "a"}, "colour": "red", "line": {}}

    def told() -> Any:
        return client.agents.tools.run("plain", agent_id=agent.id, args=given).func_return

    assert told() == '["a", true, 7, 2]'
    given["line"] = {"start": {"x": "many"}}
    assert told().startswith("plain: 'line.start.x' should be a valid integer")
    changed = PLAIN.replace('"Document"', "dict").replace('"Colour"', "str")
    client.tools.update(
        tool.id, source_code=changed.replace("line.start.x, line.start.y", "line['start']")
    )
    given["line"] = {"start": 5}
    assert told() == '["a", true, 5]'
    client.tools.update(tool.id, args_json_schema=schema)
    assert client.tools.retrieve(tool.id).args_json_schema == schema
    parameters = {"type": "object", "properties": {"doc": {"type": "object"}}}
    client.tools.update(tool.id, json_schema={"name": "plain", "parameters": parameters})
    assert "$defs" not in (client.tools.retrieve(tool.id).args_json_schema or {})


def test_small_things_are_as_in_letta(server: Server) -> None:
    client = server.client()
    rule: Any = {"type": "exit_loop", "tool_name": "memory_insert"}
    made = client.agents.create(name="ada", tool_rules=[rule, rule])
    assert made.tool_rules is not None
    assert len(made.tool_rules) == 1
    gone = client.agents.create(name="ada").id
    client.agents.delete(gone)
    assert [one.id for one in client.agents.list(after=gone).items] == [made.id]
    assert [one.id for one in client.agents.list(before=gone).items] == [made.id]
    server.scripted.say("Hello.")
    lost = client.agents.messages.create(made.id, input="Hi").messages[0].id
    client.agents.messages.reset(made.id)
    server.scripted.say("Hello again.")
    client.agents.messages.create(made.id, input="Hi")
    assert "Hello again." in str(client.agents.messages.list(made.id, after=lost).items)
    assert "Hello again." in str(client.messages.list(after=lost))


def test_what_is_gone_bounds_no_list_and_what_never_was_is_refused(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada").id
    for text in ("plums", "pears", "figs", "dates"):
        client.agents.passages.create(agent, text=text)
    first, second = client.agents.passages.list(agent, limit=2)
    for one in (first, second):
        client.agents.passages.delete(one.id, agent_id=agent)
    left = client.agents.passages.list(agent, after=second.id)
    assert [one.text for one in left] == ["figs", "dates"]
    server.scripted.say("Hello.")
    answer = client.agents.messages.create(agent, input="Hi")
    said, gone = answer.messages[0].id, "12345678-1234-1234-1234-123456789abc"
    conversation = client.conversations.create(agent_id=agent).id
    with httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=90) as web:

        def count(path: str, **query: str) -> int:
            return len(web.get(path, params=query).raise_for_status().json())

        lists = {
            "/runs": "run",
            "/steps": "step",
            f"/runs/{answer.usage.run_ids[0]}/steps": "step",
            "/conversations": "conv",
            "/messages": "message",
            f"/agents/{agent}/messages": "message",
            f"/agents/{agent}/archival-memory": "passage",
        }
        for path, kind in lists.items():
            assert count(path, after=f"{kind}-{gone}") == count(path) > 0, path
            assert web.get(path, params={"after": "nonsense"}).status_code == 422, path
        both = {"after": said, "before": f"message-{gone}", "order": "asc"}
        assert count(f"/agents/{agent}/messages", **both) == 0
        both["after"] = answer_to(web, agent)
        assert count(f"/agents/{agent}/messages", **both) == count("/messages", **both) == 1

        prompts = [client.agents.retrieve(agent).message_ids[0]]
        prompts += [client.conversations.retrieve(conversation).in_context_message_ids[0]]
        for prompt in prompts:
            (found,) = web.get(f"/messages/{prompt}").raise_for_status().json()
            assert (found["message_type"], found["id"]) == ("system_message", prompt)
            assert count("/messages", after=prompt, order="asc") == 2
            assert count("/messages", after=prompt) == 0
            assert count("/messages", before=prompt) == 2
        assert count("/messages", after=prompts[1], conversation_id=conversation) == 0
        assert web.get(f"/messages/message-{gone}").status_code == 404


def answer_to(web: httpx.Client, agent: str) -> str:
    """Return the id of what an agent was told last."""
    listed = web.get(f"/agents/{agent}/messages").raise_for_status().json()
    return next(one["id"] for one in listed if one["message_type"] == "user_message")


def test_an_agent_may_forget_each_message(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada", message_buffer_autoclear=True)
    assert agent.message_buffer_autoclear is True
    for text in ("quinces", "medlars"):
        server.scripted.say("Yes.")
        client.agents.messages.create(agent.id, input=text)
    sent = str(server.scripted.requests[-1]["messages"])
    assert "medlars" in sent
    assert "quinces" not in sent
    assert len(client.agents.messages.list(agent.id).items) == 5
    kept = client.agents.update(agent.id, message_buffer_autoclear=False).message_buffer_autoclear
    assert kept is False
    conversation = client.conversations.create(agent_id=agent.id).id
    client.agents.update(agent.id, message_buffer_autoclear=True)
    for text in ("damsons", "sloes"):
        server.scripted.say("Yes.")
        client.conversations.messages.create(conversation, input=text, streaming=False)
    assert "damsons" not in str(server.scripted.requests[-1]["messages"])


def test_a_tool_knows_who_asks(server: Server) -> None:
    client = server.client()
    who = client.tools.create(source_code=WHO)
    agent = client.agents.create(
        name="ada", tags=["red"], tool_ids=[who.id], include_base_tools=False
    )
    assert client.agents.tools.run("who", agent_id=agent.id).func_return == "ada red who"


def test_older_names_of_routes_answer_as_the_new_ones(server: Server) -> None:
    client = server.client()
    with httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=90) as old:

        def ask(method: str, path: str, **options: Any) -> Any:
            answer = old.request(method, path, **options)
            assert answer.status_code < 300, (path, answer.text)
            return answer.json() if answer.content else None

        assert ask("GET", "/folders/count") == 0
        source = ask("POST", "/sources/", json={"name": "papers"})
        folder = client.folders.retrieve(source["id"])
        assert (folder.name, ask("GET", "/sources/count")) == ("papers", 1)
        assert ask("GET", "/sources/name/papers") == folder.id
        assert old.get("/sources/name/essays").status_code == 404
        ask("POST", f"/sources/{folder.id}/upload", files={"file": ("a.txt", b"Tea at five")})
        assert len(ask("GET", f"/sources/{folder.id}/files")) == 1
        agent = client.agents.create(name="ada")
        ask("PATCH", f"/agents/{agent.id}/sources/attach/{folder.id}")
        assert [one.id for one in client.agents.folders.list(agent.id)] == [folder.id]
        assert [one["id"] for one in ask("GET", f"/agents/{agent.id}/sources")] == [folder.id]
        ask("PATCH", f"/agents/{agent.id}/sources/detach/{folder.id}")
        assert ask("DELETE", f"/sources/{folder.id}") is None
        server.scripted.say("Hello.")
        client.agents.messages.create(agent.id, input="Hi")
        (run,) = client.runs.list().items
        assert [job["id"] for job in ask("GET", "/jobs/")] == [run.id]
        assert ask("GET", f"/jobs/{run.id}")["status"] == "completed"
        assert ask("PATCH", f"/jobs/{run.id}/cancel")["status"] == "completed"
        assert ask("GET", "/runs/active") == ask("GET", "/jobs/active") == []
        assert "demo" in json.dumps(ask("GET", "/models/"))
        names = {model.provider_name for model in client.models.list()}
        assert {one["name"] for one in ask("GET", "/providers/")} == names
        assert ask("GET", "/tools/mcp/servers") == {}
        config = {"server_name": "shop", "type": "stdio", "command": "no-such-program"}
        assert "shop" in json.dumps(ask("PUT", "/tools/mcp/servers", json=config))
        assert list(ask("GET", "/tools/mcp/servers")) == ["shop"]
        for path in ("/providers", "/templates"):
            assert old.post(path, json={}).status_code == 501


def test_an_agent_begins_with_the_blocks_it_is_given_and_lettas_base_tools(server: Server) -> None:
    client = server.client()

    def tools(**options: Any) -> set[str]:
        made = client.agents.create(**options)
        assert made.memory is not None
        assert made.memory.blocks == []
        return {str(tool.name) for tool in made.tools}

    native = {"conversation_search", "memory_insert", "memory_replace"}
    assert tools() == native
    assert tools(tools=["web_search"]) == {*native, "web_search"}
    assert tools(agent_type="memgpt_v2_agent") == {*native, "send_message"}
    assert tools(include_base_tools=False) == set()
    assert tools(agent_type="react_agent") == tools(agent_type="workflow_agent") == set()
    flow = client.agents.create(agent_type="workflow_agent", message_buffer_autoclear=False)
    assert (flow.agent_type, flow.message_buffer_autoclear) == ("workflow_agent", True)
    first = client.agents.create(name="ada", agent_type="memgpt_agent", model="openai/scripted")
    assert sorted(str(tool.name) for tool in first.tools) == [
        *("conversation_search", "core_memory_append", "core_memory_replace", "memory"),
        *("memory_apply_patch", "send_message"),
    ]
    server.scripted.call("send_message", {"message": "Hello."})
    answer = client.agents.messages.create(first.id, input="Hi")
    assert "Hello." in str(answer.messages)
    offered = [tool["function"]["name"] for tool in server.scripted.requests[-1]["tools"]]
    assert offered.count("send_message") == 1


def test_a_message_has_the_otid_it_was_sent_with_and_its_run_is_found_by_it(server: Server) -> None:
    client, scripted = server.client(), server.scripted
    agent = client.agents.create(name="ada").id
    place = client.conversations.create(agent_id=agent).id
    hello = [{"role": "user", "content": "Hello.", "otid": "mine-1"}]
    for answer in ("Good morning.", "Good evening."):
        scripted.say(answer)
        said = [*client.conversations.messages.create(place, messages=hello)]
        hello = [{"role": "user", "content": "Again.", "otid": "mine-2"}]
        assert said[0].content == answer
    listed = client.conversations.messages.list(place, order="asc").items
    assert [m.otid for m in listed if m.message_type == "user_message"] == ["mine-1", "mine-2"]
    again = [*client.conversations.messages.stream(place, otid="mine-1")]
    assert again[0].content == "Good morning."
    with pytest.raises(NotFoundError, match="mine-3"):
        client.conversations.messages.stream(place, otid="mine-3")
    # An answer to a call that waits has one, too.
    shout = client.tools.create(source_code=SHOUT, default_requires_approval=True)
    client.agents.tools.attach(shout.id, agent_id=agent)
    scripted.call("shout", {"text": "hi"})
    asked = [*client.conversations.messages.create(place, input="Shout.")]
    call = next(m for m in asked if m.message_type == "approval_request_message").tool_call
    scripted.say("Shouted.")
    word = {"type": "approval", "tool_call_id": call.tool_call_id, "approve": True}
    yes = [{"type": "approval", "approvals": [word], "otid": "mine-4"}]
    first = [*client.conversations.messages.create(place, messages=yes)]
    again = [*client.conversations.messages.stream(place, otid="mine-4")]
    assert [m.message_type for m in again] == [m.message_type for m in first]


def test_a_system_prompt_is_given_for_one_request(server: Server) -> None:
    client, scripted = server.client(), server.scripted
    agent = client.agents.create(name="ada", memory_blocks=[{"label": "human", "value": "Kim"}]).id
    scripted.call("conversation_search", {"query": "hi"})
    client.agents.messages.create(agent, input="Hello.", override_system="You are a bird.")
    seen = [request["messages"][0] for request in scripted.requests]
    assert seen == [{"role": "system", "content": "You are a bird."}] * 2
    client.agents.messages.create(agent, input="Hello.")
    assert "Kim" in scripted.requests[-1]["messages"][0]["content"]


def test_a_tool_that_is_required_before_the_end_is_forced(server: Server) -> None:
    client, scripted = server.client(), server.scripted
    rules: Any = [{"type": "required_before_exit", "tool_name": "memory_insert"}]
    agent = client.agents.create(
        name="ada", tool_rules=rules, memory_blocks=[{"label": "human", "value": "Kim"}]
    ).id
    scripted.say("Bye.")
    scripted.call("memory_insert", {"label": "human", "new_string": "was here"})
    scripted.say("Bye now.")
    client.agents.messages.create(agent, input="Bye.")
    forced = scripted.requests[1]
    assert forced["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in forced["tools"]] == ["memory_insert"]
    others = (scripted.requests[0], scripted.requests[2])
    assert all("tool_choice" not in one and len(one["tools"]) == 3 for one in others)
    listed = client.agents.messages.list(agent, order="asc").items
    (reminder,) = [m for m in listed if "must call: memory_insert" in str(m.to_dict())]
    assert reminder.message_type == "user_message"


def test_a_model_that_its_provider_does_not_list_makes_no_agent(server: Server) -> None:
    client = server.client()
    with pytest.raises(NotFoundError, match="does not list gpt-none"):
        client.agents.create(name="ada", model="openai/gpt-none")
    assert client.agents.list().items == []
    # What a table knows is not asked about, nor what cannot be.
    for model in ("openai/scripted", "openai/gpt-4o-mini", "anthropic/claude-none"):
        client.agents.create(name="ada", model=model)


def test_an_agents_model_answers_a_prompt_without_memory_or_tools(server: Server) -> None:
    agent = server.client().agents.create(name="ada", memory_blocks=[HUMAN]).id
    with httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60) as http:

        def ask(**asked: Any) -> httpx.Response:
            return http.post(f"/agents/{agent}/generate", json=asked)

        server.scripted.say("Heron, gull, tern.")
        said = ask(prompt="Name three birds.", system_prompt="Be brief.").json()
        assert (said["content"], said["model"]) == ("Heron, gull, tern.", "openai/scripted")
        assert said["usage"]["total_tokens"] > 0
        sent = server.scripted.requests[-1]
        assert [one["content"] for one in sent["messages"]] == ["Be brief.", "Name three birds."]
        assert not sent.get("tools")
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        server.scripted.say('{"n": 3}')
        assert json.loads(ask(prompt="How many?", response_schema=schema).json()["content"]) == {
            "n": 3
        }
        server.scripted.say("three")
        assert ask(prompt="How many?", response_schema=schema).status_code == 502
        assert ask(prompt="").status_code == 422
        assert ask(prompt="x", override_model="nowhere/x").status_code == 404
        assert len(http.get(f"/agents/{agent}/messages").json()) == 1  # the system prompt


def test_how_much_room_embeddings_take(server: Server) -> None:
    with httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60) as http:
        sizes = {
            unit: http.get("/embeddings/total_storage_size", params={"storage_unit": unit}).json()
            for unit in ("B", "KB", "GB")
        }
        assert sizes["B"] == sizes["KB"] * 1024 >= sizes["GB"] >= 0
        assert http.get("/embeddings/total_storage_size?storage_unit=mile").status_code == 422


def test_the_older_form_of_a_model_needs_no_handle(server: Server) -> None:
    client = server.client()

    def made(**config: Any) -> str | None:
        return client.agents.create(llm_config={"context_window": 16_000, **config}).model

    openai = {"model_endpoint_type": "openai", "model_endpoint": server.scripted.url}
    assert made(model="scripted", **openai) == "openai/scripted"
    assert made(model="openai/scripted", **openai) == "openai/scripted"
    assert made(model="claude-x", model_endpoint_type="anthropic") == "anthropic/claude-x"
    assert made(model="gemini-x", model_endpoint_type="google_ai") == "google_ai/gemini-x"
    assert made(model="demo", model_endpoint_type="llamacpp") == "letta/demo"
    default = client.agents.create().model
    assert made(model="letta-free", **openai) == made(handle="letta/letta-free") == default
    with pytest.raises(NotFoundError):
        made(model="none", **openai)
