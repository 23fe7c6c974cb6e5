"""Agents through the SDK: every field of creating, changing and finding them."""

from __future__ import annotations

import httpx
import pytest
from letta_client import (
    InternalServerError,
    NotFoundError,
    UnprocessableEntityError,
)
from server_bench import Server

DEFAULTS = {
    "provider_type": "openai",
    "temperature": 1.0,
    "max_output_tokens": 16384,
    "parallel_tool_calls": True,
    "strict": False,
    "reasoning": {"reasoning_effort": "minimal"},
    "response_format": None,
}

SHOUT = '''def shout(text: str) -> str:
    """Shout.

    Args:
        text: what to shout
    """
    return text.upper()
'''

COUNT: dict[str, object] = {
    "type": "json_schema",
    "json_schema": {
        "name": "count",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


def settings_of(agent: object) -> object:
    settings = agent.api_model_settings  # type: ignore[attr-defined]
    return settings.model_dump() if settings is not None else None


def test_an_agent_made_without_anything_is_as_in_letta(server: Server) -> None:
    made = server.client().agents.create()
    assert {t.name for t in made.tools} == {
        "conversation_search",
        "memory_insert",
        "memory_replace",
    }
    assert made.blocks == []
    assert made.model == "openai/scripted"
    assert made.embedding == "letta/wordllama"
    assert made.agent_type == "letta_v1_agent"
    assert made.llm_config.context_window > 0
    assert settings_of(made) == DEFAULTS


def test_an_agent_made_with_everything(server: Server) -> None:
    client = server.client()
    shared = client.blocks.create(label="project", value="Build a boat.")
    tool = client.tools.create(source_code=SHOUT)
    who = client.post(
        "/v1/identities/",
        body={"identifier_key": "g1", "name": "Grace", "identity_type": "user"},
        cast_to=httpx.Response,
    ).json()
    agent = client.agents.create(
        name="ada",
        description="A teacher",
        agent_type="memgpt_agent",
        system="Be brief.",
        model="openai/gpt-5-mini",
        model_settings={
            "provider_type": "openai",
            "temperature": 0.2,
            "max_output_tokens": 99,
            "parallel_tool_calls": False,
            "reasoning": {"reasoning_effort": "xhigh"},
        },
        embedding="letta/letta-free",
        context_window_limit=20000,
        memory_blocks=[
            {"label": "human", "value": "Grace", "limit": 50, "read_only": True},
            {"label": "notes", "value": "", "description": "what to keep"},
        ],
        block_ids=[shared.id],
        tools=["core_memory_append"],
        tool_ids=[tool.id],
        include_base_tools=False,
        tool_rules=[
            {"type": "run_first", "tool_name": "shout", "args": {"text": "hi"}},
            {
                "type": "constrain_child_tools",
                "tool_name": "shout",
                "children": ["core_memory_append"],
                "child_arg_nodes": [{"name": "core_memory_append", "args": {"label": "notes"}}],
            },
            {"type": "max_count_per_step", "tool_name": "shout", "max_count_limit": 2},
        ],
        tags=["x", "y"],
        metadata={"team": 7},
        secrets={"KEY": "hidden-value"},
        timezone="Europe/Berlin",
        identity_ids=[who["id"]],
        compaction_settings={"mode": "all"},
        initial_message_sequence=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ],
    )
    assert agent.name == "ada"
    assert agent.description == "A teacher"
    assert agent.system == "Be brief."
    assert agent.agent_type == "memgpt_agent"
    assert agent.model == "openai/gpt-5-mini"
    assert settings_of(agent) == {
        **DEFAULTS,
        "temperature": 0.2,
        "max_output_tokens": 99,
        "parallel_tool_calls": False,
        "reasoning": {"reasoning_effort": "xhigh"},
    }
    assert agent.llm_config.context_window == 20000
    assert [(b.label, b.limit, b.read_only) for b in agent.blocks] == [
        ("human", 50, True),
        ("notes", 100000, False),
        ("project", 100000, False),
    ]
    assert agent.memory.blocks == agent.blocks
    assert [t.name for t in agent.tools] == ["core_memory_append", "shout"]
    rules = {rule.type: rule for rule in agent.tool_rules or []}
    assert rules["run_first"].args == {"text": "hi"}
    assert rules["constrain_child_tools"].child_arg_nodes[0].args == {"label": "notes"}
    assert rules["max_count_per_step"].max_count_limit == 2
    assert agent.tags == ["x", "y"]
    assert agent.metadata == {"team": 7}
    assert [secret.key for secret in agent.secrets or []] == ["KEY"]
    assert "hidden-value" not in agent.to_json()
    assert agent.timezone == "Europe/Berlin"
    assert [one.id for one in agent.identities or []] == [who["id"]]
    assert agent.compaction_settings.mode == "all"
    assert len(agent.message_ids or []) == 3
    assert server.service.agents.retrieve("ada").settings["reasoning_effort"] == "high"
    messages = client.agents.messages.list(agent.id, order="asc").items
    assert [m.content for m in messages[1:]] == ["Hi", "Hello"]
    assert [m.id for m in messages] == agent.message_ids
    assert messages[0].message_type == "system_message"
    assert "<block label=" in messages[0].content


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"memory_blocks": [{"label": "human", "value": "x" * 100_001}]}, "human"),
        ({"memory_blocks": [{"label": "human", "value": "x", "limit": 0}]}, "limit"),
        ({"memory_blocks": [{"label": "human"}]}, "value"),
        ({"model": "nonsense"}, "model"),
        ({"embedding": "nonsense"}, "embedding"),
        ({"agent_type": "voice_convo_agent"}, "agent_type"),
        ({"agent_type": "no such type"}, "agent_type"),
        ({"name": " ada"}, "name"),
        ({"tools": ["no_such_tool"]}, "no_such_tool"),
        ({"tool_ids": ["tool-none"]}, "tool-none"),
        ({"block_ids": ["block-none"]}, "block_ids"),
        ({"timezone": "Europe/Atlantis"}, "'loc': ['body', 'timezone']"),
        ({"model_settings": {"temperature": 9}}, "temperature"),
        ({"secrets": {"a b": "c"}}, "secrets"),
        ({"tool_rules": [{"type": "what", "tool_name": "x"}]}, "tool_rules"),
        ({"initial_message_sequence": [{"role": "user", "content": ""}]}, "initial_message"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    server: Server, fields: dict[str, object], named: str
) -> None:
    client = server.client()
    with pytest.raises(UnprocessableEntityError) as refused:
        client.agents.create(**fields)
    assert named in str(refused.value)
    assert client.agents.list().items == []


def test_what_agents_cannot_do_is_said(server: Server) -> None:
    client = server.client()
    with pytest.raises(InternalServerError, match="Not offered by this server") as refused:
        client.agents.create(from_template="a template")
    assert refused.value.status_code == 501
    assert client.agents.list().items == []


@pytest.mark.parametrize("inside", [False, True])
def test_the_form_of_an_agents_answers_is_a_setting(server: Server, inside: bool) -> None:
    client = server.client()

    def fields(wanted: dict[str, object]) -> dict[str, object]:
        asked: dict[str, object] = {"response_format": wanted}
        return {"model_settings": {"provider_type": "openai", **asked}} if inside else asked

    agent = client.agents.create(**fields(COUNT))
    assert agent.response_format is not None
    assert agent.response_format.to_dict() == COUNT
    assert settings_of(agent)["response_format"] == COUNT  # type: ignore[index]
    server.scripted.call("give_answer", {"n": 3})
    answer = client.agents.messages.create(agent.id, input="How many?")
    assert [m.content for m in answer.messages] == ['{"n": 3}']
    for wrong in ({"type": "xml"}, {"type": "json_schema", "json_schema": {}}):
        with pytest.raises(UnprocessableEntityError, match="response_format"):
            client.agents.update(agent.id, **fields(wrong))
    assert client.agents.retrieve(agent.id).response_format.to_dict() == COUNT  # type: ignore[union-attr]
    client.agents.update(agent.id, **fields({"type": "text"}))
    server.scripted.say("Three.")
    answer = client.agents.messages.create(agent.id, input="How many?")
    assert [m.content for m in answer.messages] == ["Three."]


def test_a_block_at_the_limit_is_taken(server: Server) -> None:
    agent = server.client().agents.create(
        memory_blocks=[{"label": "human", "value": "x" * 100_000}]
    )
    assert [(b.label, len(b.value)) for b in agent.blocks] == [("human", 100_000)]


def test_model_settings_of_other_models(server: Server) -> None:
    client = server.client()
    assert settings_of(client.agents.create(model="letta/demo")) is None
    claude = client.agents.create(
        model="anthropic/claude-sonnet-5", model_settings={"provider_type": "anthropic"}
    )
    assert settings_of(claude)["provider_type"] == "anthropic"  # type: ignore[index]
    google = client.agents.create(model="google_ai/gemini-3.5-flash")
    assert google.model == "google_ai/gemini-3.5-flash"
    assert server.service.agents.retrieve(google.id).model == "gemini/gemini-3.5-flash"


def test_an_agent_is_looked_up_changed_and_deleted(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada", metadata={"a": 1}, tags=["old"])
    assert client.agents.retrieve(agent.id).name == "ada"
    bare = client.agents.retrieve(agent.id, include=["agent.tags"])
    assert (bare.blocks, bare.tools, bare.tags) == ([], [], ["old"])
    block = client.blocks.create(label="only", value="this")
    changed = client.agents.update(
        agent.id,
        name="grace",
        description="new",
        system="Be long.",
        tags=["new"],
        model="openai/other",
        model_settings={"provider_type": "openai", "temperature": 0.5},
        block_ids=[block.id],
        tool_ids=[agent.tools[0].id],
    )
    assert (changed.name, changed.description, changed.system) == ("grace", "new", "Be long.")
    assert changed.metadata == {"a": 1}
    assert changed.model == "openai/other"
    assert [b.label for b in changed.blocks] == ["only"]
    assert [t.id for t in changed.tools] == [agent.tools[0].id]
    assert settings_of(changed)["temperature"] == 0.5  # type: ignore[index]
    client.agents.delete(agent.id)
    for asking in (
        lambda: client.agents.retrieve(agent.id),
        lambda: client.agents.update(agent.id, name="x"),
        lambda: client.agents.delete(agent.id),
        lambda: client.agents.recompile(agent.id),
        lambda: client.agents.messages.list(agent.id),
        lambda: client.agents.messages.create(agent.id, input="hi"),
        lambda: client.agents.messages.stream(agent.id, input="hi"),
    ):
        with pytest.raises(NotFoundError):
            asking()


def test_ids_tell_agents_of_one_name_apart(server: Server) -> None:
    client = server.client()
    made = [client.agents.create(name="ada", description=word) for word in ("first", "second")]
    other = client.agents.create(name="grace")
    assert client.agents.update(other.id, name="ada").name == "ada"
    found = [agent.id for agent in client.agents.list(name="ada")]
    assert found == [other.id, made[1].id, made[0].id]
    assert client.agents.retrieve(made[0].id).description == "first"
    client.agents.delete(made[1].id)
    assert client.agents.retrieve(made[0].id).description == "first"


def test_an_agent_that_is_set_aside_is_hidden(server: Server) -> None:
    client = server.client()
    ada = client.agents.create(name="ada")
    fresh = server.service.agents.open("ada", fresh=True).agent
    assert [agent.id for agent in client.agents.list()] == [fresh.id]
    assert client.agents.retrieve(ada.id).hidden
    every = client.agents.list(extra_query={"show_hidden_agents": True})
    assert {agent.id for agent in every} == {ada.id, fresh.id}
    client.agents.update(ada.id, extra_body={"hidden": False})
    assert {agent.id for agent in client.agents.list()} == {ada.id, fresh.id}


def test_agents_are_found_and_paged_both_ways(server: Server) -> None:
    client = server.client()
    made = [
        client.agents.create(name=f"agent {n}", tags=["even" if n % 2 == 0 else "odd", f"t{n}"])
        for n in range(7)
    ]
    names = [agent.name for agent in made]

    def found(**asked: object) -> list[str]:
        return [agent.name for agent in client.agents.list(**asked)]

    assert found() == names[::-1]
    assert found(order="asc") == found(ascending=True) == names
    assert found(limit=2) == names[::-1]  # every page is turned to
    assert found(limit=3, order="asc") == names
    first = client.agents.list(limit=2, order="asc", before=made[5].id)
    assert [agent.name for agent in first.items] == names[3:5]
    assert sorted(agent.name for agent in first) == sorted(names[:5])
    assert found(name="agent 3") == ["agent 3"]
    assert found(query_text="GENT 4") == ["agent 4"]
    assert found(tags=["t1", "t2"], order="asc") == ["agent 1", "agent 2"]
    assert found(tags=["even", "t2"], match_all_tags=True) == ["agent 2"]
    assert found(template_id="t") == []
    assert found(identity_id="identity-none") == []
    server.scripted.say("Hi.")
    client.agents.messages.create(made[3].id, input="Hello")
    assert found(last_stop_reason="end_turn") == ["agent 3"]
    assert found(last_stop_reason="error") == []
    assert found(order_by="last_run_completion")[0] == "agent 3"
    client.agents.update(made[2].id, description="changed")
    assert found(order_by="updated_at")[0] == "agent 2"
    with pytest.raises(UnprocessableEntityError):
        client.agents.list(after="agent-none")


def test_prompt_reset_and_summary(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada", memory_blocks=[{"label": "human", "value": "Grace!"}])
    assert "Grace!" in client.agents.recompile(agent.id)
    for number in range(6):
        server.scripted.say(f"Answer {number}. " + "word " * 200)
        client.agents.messages.create(agent.id, input=f"Question {number}?")
    server.scripted.say("They talked about numbers.")
    compacted = client.agents.messages.compact(agent.id)
    assert compacted.num_messages_after < compacted.num_messages_before
    assert "numbers" in compacted.summary
    reset = client.agents.messages.reset(agent.id, add_default_initial_messages=False)
    assert reset is not None
    (first,) = client.agents.messages.list(agent.id).items
    assert reset.message_ids == [first.id]
    assert first.message_type == "system_message"


def test_models_that_cannot_be_are_refused_when_they_are_set(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada", model="openai/scripted")
    for fields in ({"model": "nobody/knows"}, {"embedding": "nobody/knows"}):
        with pytest.raises(NotFoundError, match="no provider 'nobody'"):
            client.agents.create(name="eve", **fields)
        with pytest.raises(NotFoundError, match="no provider 'nobody'"):
            client.agents.update(agent.id, **fields)
    for fields in ({"model": "nosuch"}, {"embedding": "nonsense"}, {"timezone": "Mars/One"}):
        with pytest.raises(UnprocessableEntityError):
            client.agents.update(agent.id, **fields)
    assert [one.model for one in client.agents.list()] == ["openai/scripted"]
