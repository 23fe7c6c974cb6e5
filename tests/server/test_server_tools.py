"""Tools through the SDK: source in, schema out, run in the sandbox."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from letta_client import (
    APIStatusError,
    ConflictError,
    Letta,
    NotFoundError,
    UnprocessableEntityError,
)
from server_bench import Server

ROLL = '''
def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    print("rolling")
    return f"{times} x {sides}"
'''
GREET = '''
def greet(name: str) -> str:
    """Greet someone politely.

    Args:
        name: Whom to greet.
    """
    return "Hello " + name
'''


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


def test_a_tool_is_made_of_source(client: Letta) -> None:
    made = client.tools.create(
        source_code=ROLL,
        tags=["games"],
        return_char_limit=500,
        default_requires_approval=True,
        enable_parallel_execution=True,
        pip_requirements=[{"name": "pydantic"}],
    )
    assert made.name == "roll"
    assert made.description == "Roll a die."
    assert made.tool_type == "custom"
    assert made.source_code == ROLL
    schema = made.json_schema["parameters"]  # type: ignore[index]
    assert schema["required"] == ["sides"]  # type: ignore[index]
    assert schema["properties"]["times"]["description"] == "How often."  # type: ignore[index]
    assert (made.tags, made.return_char_limit) == (["games"], 500)
    assert (made.default_requires_approval, made.enable_parallel_execution) == (True, True)
    assert made.pip_requirements is not None
    assert made.pip_requirements[0].name == "pydantic"
    assert client.tools.retrieve(made.id) == made


def test_a_schema_may_be_given(client: Letta) -> None:
    bare = "def double(n):\n    return 2 * n\n"
    made = client.tools.create(
        source_code=bare,
        json_schema={
            "name": "double",
            "description": "Double a number.",
            "parameters": {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "it"}},
                "required": ["n"],
            },
        },
    )
    assert made.description == "Double a number."
    for schema in (
        {"name": "double", "parameters": {"type": "array"}},
        {"name": "double", "parameters": {"properties": {"n": 3}}},
        {"name": "double", "parameters": {"properties": {}, "required": ["m"]}},
        {"name": "treble"},
    ):
        with pytest.raises(UnprocessableEntityError):
            client.tools.upsert(source_code=bare, json_schema=schema)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(:", "line 1"),
        ("x = 1", "def"),
        ("def f():\n    return 1", "docstring"),
        ('def f(a: Nowhere):\n    """Do it."""', "'a'"),
        ('def send_message():\n    """Do it."""', "built-in"),
        ("", "def"),
    ],
)
def test_source_that_makes_no_tool_is_refused(client: Letta, source: str, told: str) -> None:
    with pytest.raises(UnprocessableEntityError, match=told) as caught:
        client.tools.create(source_code=source)
    assert caught.value.body["detail"][0]["loc"] == ["body", "source_code"]  # type: ignore[index]


def test_what_the_source_leaves_out_is_inferred(client: Letta) -> None:
    made = client.tools.create(
        source_code='def f(a, b: int, c=1.5):\n    """Do it."""\n    return c'
    )
    assert made.json_schema is not None
    assert made.json_schema["parameters"]["properties"] == {  # type: ignore[index]
        "a": {"description": ""},
        "b": {"type": "integer", "description": ""},
        "c": {"type": "number", "description": ""},
    }


def test_a_second_tool_of_a_name_takes_the_place_of_the_first(client: Letta) -> None:
    first = client.tools.create(source_code=ROLL)
    assert client.tools.create(source_code=ROLL).id == first.id
    second = client.tools.upsert(source_code=ROLL.replace("Roll a die.", "Roll dice."))
    assert second.id == first.id
    assert client.tools.retrieve(first.id).description == "Roll dice."
    assert client.tools.upsert(source_code=GREET).id != first.id


def test_a_tool_is_changed_and_deleted(client: Letta) -> None:
    made = client.tools.create(source_code=ROLL)
    changed = client.tools.update(
        made.id, tags=["dice"], return_char_limit=10, metadata={"owner": "ada"}
    )
    assert (changed.tags, changed.return_char_limit) == (["dice"], 10)
    assert changed.metadata == {"owner": "ada"}
    changed = client.tools.update(made.id, source_code=ROLL.replace("sides", "faces"))
    assert changed.json_schema["parameters"]["required"] == ["faces"]  # type: ignore[index]
    assert changed.tags == ["dice"]
    with pytest.raises(UnprocessableEntityError):
        client.tools.update(made.id, source_code="def broken(")
    client.tools.create(source_code=GREET)
    with pytest.raises(ConflictError):
        client.tools.update(made.id, source_code=GREET)
    client.tools.delete(made.id)
    with pytest.raises(NotFoundError):
        client.tools.retrieve(made.id)
    with pytest.raises(UnprocessableEntityError, match="built-in"):
        client.tools.delete("tool-core-send_message")


def test_tools_are_listed_with_filters(client: Letta) -> None:
    roll, greet = (client.tools.create(source_code=source) for source in (ROLL, GREET))

    def names(**filters: object) -> list[str | None]:
        return [tool.name for tool in client.tools.list(**filters)]  # type: ignore[arg-type]

    every = names(limit=5)
    assert {"roll", "greet", "core_memory_append", "archival_memory_search"} <= set(every)
    assert len(every) == len(set(every))
    assert names(name="roll") == ["roll"]
    assert names(names=["roll", "greet", "nothing"], order="asc") == ["roll", "greet"]
    assert names(tool_ids=[greet.id]) == ["greet"]
    assert names(search="REE") == ["greet"]
    assert names(tool_types=["custom"], order="asc") == ["roll", "greet"]
    assert "roll" not in names(exclude_tool_types=["custom"])
    assert "roll" not in names(return_only_letta_tools=True)
    assert [tool.name for tool in client.tools.list(after=greet.id, limit=1).items] == ["roll"]
    assert roll.id
    with pytest.raises(UnprocessableEntityError, match="tool_types"):
        client.tools.list(tool_types=["odd"])


def test_tools_are_found_by_what_they_do(client: Letta) -> None:
    client.tools.create(source_code=ROLL, tags=["games"])
    client.tools.create(source_code=GREET)
    found = client.tools.search(query="roll dice with many sides")
    assert found[0].tool.name == "roll"
    assert 0 < found[0].combined_score <= 1
    found = client.tools.search(query="say hello to a person", tool_types=["custom"], limit=1)
    assert [one.tool.name for one in found] == ["greet"]
    assert [one.tool.name for one in client.tools.search(tags=["games"])] == ["roll"]
    assert client.tools.search(query="   ", limit=3)


def test_an_agents_tools(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada")
    tool = client.tools.create(source_code=ROLL)
    state = client.agents.tools.attach(tool.id, agent_id=agent.id)
    assert state.id == agent.id
    own = [one.name for one in client.agents.tools.list(agent.id)]
    assert own[-1] == "roll"
    assert len(own) == len(set(own))
    client.agents.tools.detach(tool.id, agent_id=agent.id)
    assert "roll" not in [one.name for one in client.agents.tools.list(agent.id)]
    with pytest.raises(NotFoundError, match="roll"):
        client.agents.tools.detach("roll", agent_id=agent.id)
    with pytest.raises(NotFoundError, match="tool-none"):
        client.agents.tools.attach("tool-none", agent_id=agent.id)


def test_an_agents_tool_is_run_in_the_sandbox(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada")
    tool = client.tools.create(source_code=ROLL)
    server.service.tools.attach(tool.id, agent=agent.id)
    ran = client.agents.tools.run("roll", agent_id=agent.id, args={"sides": 6})
    assert (ran.status, ran.func_return) == ("success", "1 x 6")
    assert ran.stdout == ["rolling\n"]
    ran = client.agents.tools.run("roll", agent_id=agent.id, args={"sides": "many"})
    assert ran.status == "error"
    assert "sides" in str(ran.func_return)
    ran = client.agents.tools.run(
        "archival_memory_insert", agent_id=agent.id, args={"content": "x"}
    )
    assert ran.status == "success"
    with pytest.raises(NotFoundError, match="rol"):
        client.agents.tools.run("rol", agent_id=agent.id)


def test_approval_is_asked_for_per_agent(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada")
    tool = client.tools.create(source_code=ROLL)
    server.service.tools.attach(tool.id, agent=agent.id)
    update = client.agents.tools.update_approval
    for _ in range(2):
        update("roll", agent_id=agent.id, body_requires_approval=True)
    rules = server.service.agents.retrieve(agent.id).tool_rules
    assert [(rule.type, rule.tool_name) for rule in rules] == [("requires_approval", "roll")]
    update("roll", agent_id=agent.id, body_requires_approval=False)
    assert server.service.agents.retrieve(agent.id).tool_rules == []
    with pytest.raises(NotFoundError):
        update("none", agent_id=agent.id, body_requires_approval=True)


def test_source_is_tried_without_being_kept(server: Server, client: Letta) -> None:
    def run(**body: object) -> httpx.Response:
        return httpx.post(
            f"{server.url}/v1/tools/run", json=body, headers=server.headers, timeout=60
        )

    ran = run(source_code=ROLL, args={"sides": 3, "times": 2}).json()
    assert (ran["status"], ran["tool_return"]) == ("success", "2 x 3")
    assert ran["stdout"] == ["rolling\n"]
    source = (
        'def home() -> str:\n    """Say where."""\n    import os\n    return os.environ["PLACE"]\n'
    )
    assert (
        run(source_code=source, args={}, env_vars={"PLACE": "here"}).json()["tool_return"] == "here"
    )
    failed = run(source_code=source, args={}).json()
    assert failed["status"] == "error"
    assert "KeyError" in failed["tool_return"]
    assert run(source_code="nothing", args={}).status_code == 422
    assert [tool.name for tool in client.tools.list(tool_types=["custom"])] == []


def test_other_languages_are_left_out(client: Letta) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.tools.create(source_code="const x = 1", source_type="typescript")
    assert caught.value.status_code == 501


def test_tools_asynchronously(server: Server) -> None:
    async def main() -> None:
        async with server.async_client() as client:
            await asyncio.gather(
                client.tools.upsert(source_code=ROLL), client.tools.upsert(source_code=GREET)
            )
            names = [tool.name async for tool in client.tools.list(tool_types=["custom"])]
            assert sorted(map(str, names)) == ["greet", "roll"]

    asyncio.run(main())
