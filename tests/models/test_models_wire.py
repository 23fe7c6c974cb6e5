"""What is sent is taken by every provider: odd orders of messages, ids, names, and schemas of any kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import scripted_judges as judges
from scripted_server import ScriptedServer

from letta_kernel.models.base import Cancel, ChatRequest, Reply
from letta_kernel.models.registry import open_model
from letta_kernel.models.wire import GO_ON, NOTED, turns
from letta_kernel.tools.schema import schema_from_source

JUDGES: dict[str, judges.Judge] = {
    "openai/scripted": judges.openai,
    "openai/mistral-7b": judges.mistral_template,
    "mistral/mistral-medium-latest": judges.mistral,
    "anthropic/claude-sonnet-5": judges.anthropic,
    "gemini/gemini-3.5-flash": judges.gemini,
}


@pytest.fixture(autouse=True)
def _at_the_scripted_server(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    root = scripted.url.removesuffix("/v1")
    for name, value in {
        "MISTRAL_API_KEY": "key",
        "MISTRAL_API_BASE": scripted.url,
        "ANTHROPIC_API_KEY": "key",
        "ANTHROPIC_BASE_URL": root,
        "GEMINI_API_KEY": "key",
        "GEMINI_API_BASE": root,
    }.items():
        monkeypatch.setenv(name, value)


def call(name: str = "add", call_id: str = "c", arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def calls(*made: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(made)}


def result(call_id: str = "c", content: Any = "3") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def user(content: Any = "u") -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: Any = "a") -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: str = "s") -> dict[str, Any]:
    return {"role": "system", "content": content}


ORDERS: dict[str, list[dict[str, Any]]] = {
    "a user after a result": [system(), user(), calls(call()), result(), user("next")],
    "two users": [system(), user("one"), user("two")],
    "two answers": [system(), user(), said("one"), said("two"), user()],
    "text and then calls": [user(), said("one"), calls(call()), result()],
    "the assistant first": [system(), said("hello"), user()],
    "a call first": [system(), calls(call()), result(), user()],
    "the assistant last": [system(), user(), said()],
    "a system message later": [system(), user(), said(), system("later"), user()],
    "a system message after a result": [user(), calls(call()), result(), system("later")],
    "two system messages": [system("one"), system("two"), user()],
    "a system message alone": [system()],
    "nothing": [],
    "no result": [user(), calls(call(call_id="x"), call(call_id="y")), result("x"), user()],
    "no result at the end": [user(), calls(call())],
    "no call": [user(), result(), said(), result("z"), user()],
    "results in another order": [
        user(),
        calls(call(call_id="x"), call(call_id="y")),
        result("y", "of y"),
        result("x", "of x"),
    ],
    "one id twice": [user(), calls(call(), call()), result(), result(), calls(call()), result()],
    "no id": [user(), calls(call(call_id="")), result("")],
    "long and odd ids": [
        user(),
        calls(call(call_id="call_" + "x" * 60), call(call_id="a.b:c/d é")),
        result("call_" + "x" * 60),
        result("a.b:c/d é"),
    ],
    "odd names": [user(), calls(call("functions.find it!"), call("", "d")), result(), result("d")],
    "no content": [system(""), user(""), said(""), user(" \n"), calls(call()), result(content="")],
    "empty parts": [user([{"type": "text", "text": ""}, {"type": "text", "text": "x"}]), said([])],
    "no calls": [user(), {**said(), "tool_calls": []}, user()],
    "text beside calls": [user(), calls(call(), content="Let me see."), result(), said(), user()],
}


@pytest.mark.parametrize("model", JUDGES)
def test_any_order_of_messages_is_taken(
    scripted: ScriptedServer, ask: Callable, model: str
) -> None:
    scripted.judge = JUDGES[model]
    for name, messages in ORDERS.items():
        before = json.dumps(messages)
        ask(messages, model=model, tools=True)
        assert scripted.refusals == [], name
        assert json.dumps(messages) == before, name


def test_nothing_that_was_said_is_lost() -> None:
    chat = turns(ORDERS["two users"])
    assert chat[1] == user("one\n\ntwo")
    chat = turns(ORDERS["a user after a result"])
    assert [m["role"] for m in chat] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert chat[4]["content"] == NOTED
    broken = [user(), calls(call()), user()]
    assert turns(broken)[-2] == said("(interrupted)")
    chat = turns(ORDERS["results in another order"])
    made = [one["id"] for one in chat[1]["tool_calls"]]
    assert [(m["tool_call_id"], m["content"]) for m in chat[2:]] == [
        (made[0], "of x"),
        (made[1], "of y"),
    ]
    chat = turns(ORDERS["a system message later"])
    assert "later" in chat[-1]["content"]
    assert [m["role"] for m in chat].count("system") == 1
    assert turns([user([{"type": "text", "text": "x"}]), user("y")])[0]["content"] == [
        {"type": "text", "text": "x"},
        {"type": "text", "text": "y"},
    ]
    assert turns([said("hello"), user()])[0]["content"] == GO_ON


def test_kimi_finds_its_calls_by_the_ids_it_was_trained_on() -> None:
    history = [user(), calls(call("find", "functions.find:0")), result("functions.find:0")]
    assert turns(history, kimi=True)[2]["tool_call_id"] == "functions.find:0"
    assert len(turns(history)[2]["tool_call_id"]) == 9


# Schemas ---------------------------------------------------------------------------------------------

POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/T"}},
    },
}
PROPERTIES: dict[str, Any] = {
    "array": {"type": "array"},
    "array_of_anything": {"type": "array", "items": {}},
    "array_true": {"type": "array", "items": True},
    "arrays": {"type": "array", "items": {"type": "array"}},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "minItems": 2,
    },
    "old_tuple": {"type": "array", "items": [{"type": "string"}, {"type": "string"}]},
    "closed_tuple": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
    "ref": {"$ref": "#/$defs/Point", "description": "where"},
    "old_ref": {"$ref": "#/definitions/Old"},
    "tree": {"$ref": "#/$defs/T"},
    "lost_ref": {"$ref": "#/$defs/Nowhere"},
    "far_ref": {"$ref": "https://example.org/schema.json"},
    "optional": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    "type_list": {"type": ["string", "integer", "null"]},
    "list_or_text": {"type": ["string", "array"], "items": {}},
    "nullable": {"type": "string", "nullable": True},
    "null": {"type": "null"},
    "const": {"const": "x"},
    "const_number": {"const": 5},
    "const_null": {"const": None},
    "enum_empty": {"type": "string", "enum": []},
    "enum_twice": {"type": "string", "enum": ["a", "a", "", None]},
    "enum_numbers": {"type": "integer", "enum": [1, 2]},
    "enum_mixed": {"enum": ["a", 1, None, 2.5, False]},
    "one_of": {"oneOf": [POINT, {"type": "string", "const": "here"}]},
    "all_of": {"allOf": [{"$ref": "#/$defs/Point"}, {"properties": {"y": {"type": "number"}}}]},
    "any_nested": {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "array"}]},
    "not": {"not": {"type": "string"}},
    "if": {"type": "string", "if": {"minLength": 3}, "then": {"pattern": "x"}},
    "anything": {},
    "true": True,
    "false": False,
    "none": None,
    "text": "string",
    "python_type": {"type": "str"},
    "gemini_type": {"type": "STRING"},
    "no_such_type": {"type": "any"},
    "date": {"type": "string", "format": "date"},
    "uri": {"type": "string", "format": "uri", "pattern": "(?i)^https?://\\d+"},
    "no_such_format": {"type": "string", "format": "nonsense"},
    "old_bounds": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "required": True},
    "bounds": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0, "maximum": "9"},
    "long": {"type": "string", "maxLength": 10_000_000, "minLength": -1},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "free": {"type": "object", "properties": {}},
    "patterns": {"type": "object", "patternProperties": {"^x": {"type": "string"}}},
    "needs_too_much": {**POINT, "required": ["x", "x", "nowhere"]},
    "required_none": {"type": "object", "properties": {"a": {}}, "required": None},
    "titled": {"title": "T", "type": "string", "description": None, "examples": "x", "x-vendor": 1},
    "filter[name]": {"type": "string"},
    "größe": {"type": "integer"},
    "l" * 80: {"type": "integer"},
}
BIG = {
    "type": "object",
    "properties": PROPERTIES,
    "required": [*PROPERTIES, "nowhere"],
    "$defs": {"Point": POINT, "T": TREE},
    "definitions": {"Old": {"type": "array"}},
    "$schema": "http://json-schema.org/draft-07/schema#",
}
SCHEMAS: list[Any] = [
    BIG,
    None,
    True,
    [],
    "object",
    {},
    {"type": "string"},
    {"type": "object"},
    {"type": "object", "properties": None, "required": None, "additionalProperties": None},
    {"properties": {"a": {"type": "array"}}},
    {"anyOf": [POINT, {"type": "object", "properties": {"y": {"type": "number"}}}]},
    {**POINT, "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
    {
        "allOf": [
            POINT,
            {"type": "object", "properties": {"y": {"type": "string"}}, "required": ["y"]},
        ]
    },
    {"$ref": "#/$defs/Point", "$defs": {"Point": POINT}},
    {"$ref": "#"},
    {"type": ["object", "null"], "properties": {"a": {}}},
]


def tool(parameters: Any, name: str = "odd") -> dict[str, Any]:
    function = {"name": name, "description": None, "parameters": parameters}
    return {"type": "function", "function": function}


def send(model: str, tools: list[dict[str, Any]], messages: Any = None, **options: Any) -> Reply:
    request = ChatRequest(messages or [user()], tools, **options)
    last = list(open_model(model).stream(request, Cancel()))[-1]
    assert isinstance(last, Reply)
    return last


@pytest.mark.parametrize("model", JUDGES)
def test_any_schema_is_taken(scripted: ScriptedServer, model: str) -> None:
    scripted.judge = JUDGES[model]
    for number, schema in enumerate(SCHEMAS):
        before = json.dumps(schema)
        send(model, [tool(schema)])
        assert scripted.refusals == [], f"{number}: {schema!r:.300}"
        assert json.dumps(schema) == before
    names = ["größe", "1st", "a b", "x" * 90, "x" * 91, "-y", "a.b", "a/b", ""]
    send(model, [tool({}, name) for name in names])
    assert scripted.refusals == []
    sent = json.dumps(scripted.requests[-1])
    assert sent.count('"a_b') == 3


def test_each_schema_alone_says_the_same_as_before(scripted: ScriptedServer) -> None:
    send("openai/scripted", [tool(BIG)])
    found = scripted.requests[0]["tools"][0]["function"]["parameters"]["properties"]
    assert found["array"] == {"type": "array", "items": {}}
    both = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert found["tuple"] == {"type": "array", "items": both, "minItems": 2, "maxItems": 2}
    assert found["old_tuple"]["items"] == {"type": "string"}
    assert found["ref"] == {**POINT, "description": "where"}
    assert found["tree"]["properties"]["kids"]["items"] == {"type": "object"}
    assert found["type_list"] == {
        "anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]
    }
    assert found["const_number"] == {"type": "integer", "enum": [5]}
    assert found["all_of"]["properties"] == {"x": {"type": "number"}, "y": {"type": "number"}}
    assert found["python_type"] == found["gemini_type"] == found["text"] | {"type": "string"}
    assert "pattern: (?i)^https" in found["uri"]["description"]
    assert "false" not in found


def test_a_choice_of_objects_at_the_top_is_one_object_with_all_choices(
    scripted: ScriptedServer,
) -> None:
    kinds = [
        {"properties": {"kind": {"const": name}, name: {"type": "string"}}, "required": ["kind"]}
        for name in ("cat", "dog")
    ]
    send("openai/scripted", [tool({"oneOf": kinds})])
    found = scripted.requests[0]["tools"][0]["function"]["parameters"]
    assert set(found["properties"]) == {"kind", "cat", "dog"}
    assert found["required"] == ["kind"]
    assert "dog" in json.dumps(found["properties"]["kind"])


@pytest.mark.parametrize("model", JUDGES)
def test_names_that_are_not_taken_are_sent_under_others_and_come_back(
    scripted: ScriptedServer, model: str
) -> None:
    scripted.judge = JUDGES[model]
    schema = {
        "type": "object",
        "properties": {"größe": {"type": "integer"}, "n": {"type": "integer"}},
    }
    offered = [tool(schema, "größe.messen"), tool(schema, "plain")]
    send(model, offered)
    sent = json.dumps(scripted.requests[0]["tools"], ensure_ascii=False)
    assert "größe" not in sent
    scripted.call("gr_e_messen", {"gr_e_1": 3, "n": 1})
    (made,) = send(model, offered).tool_calls
    assert (made.name, json.loads(made.arguments)) == ("größe.messen", {"größe": 3, "n": 1})
    history = [user(), calls(call(made.name, made.id, made.arguments)), result(made.id)]
    send(model, offered, history)
    assert scripted.refusals == []
    assert "gr_e_1" in json.dumps(
        scripted.requests[-1].get("messages") or scripted.requests[-1]["contents"]
    )


@pytest.mark.parametrize("model", JUDGES)
def test_the_schemas_of_functions_are_taken(scripted: ScriptedServer, model: str) -> None:
    source = '''
def plan(
    when: "datetime.date",
    spot: tuple[float, float],
    pairs: list[tuple[str, int]] | None = None,
    kind: "typing.Literal['a', 1]" = "a",
    extra: dict = {},
    rows: list = [],
) -> str:
    """Plan.

    Args:
        when: a day
        spot: a place
        pairs: pairs
        kind: a kind
        extra: more
        rows: rows
    """
    return ""
'''
    schema = schema_from_source(source)
    scripted.judge = JUDGES[model]
    send(model, [tool(schema["parameters"], schema["name"])])
    assert scripted.refusals == []


def test_a_tool_that_is_refused_all_the_same_is_left_out_and_named_once(
    scripted: ScriptedServer, ask: Callable
) -> None:
    def judge(path: str, body: dict[str, Any]) -> None:
        for number, one in enumerate(body["tools"]):
            if one["function"]["name"] == "odd":
                words = "Invalid schema for function 'odd': something new is not allowed."
                error = {"message": words, "param": f"tools[{number}].function.parameters"}
                raise judges.Refused(words, 400, {"error": error})

    scripted.judge = judge
    offered = [tool({}, "fine"), tool({}, "odd")]
    request = ChatRequest([user()], offered)
    notices = [
        str(getattr(piece, "reason", ""))
        for _ in range(2)
        for piece in open_model("openai/scripted").stream(request, Cancel())
    ]
    told = [text for text in notices if text]
    assert len(told) == 1
    assert "The tool odd is left out." in told[0]
    assert len(scripted.refusals) == 1
    assert [t["function"]["name"] for t in scripted.requests[-1]["tools"]] == ["fine"]


def test_a_schema_that_is_changed_is_sent_as_it_is_now(scripted: ScriptedServer) -> None:
    offered = tool({"type": "object", "properties": {"city": {"type": "string"}}})
    for _ in range(2):
        send("openai/scripted", [offered])
    offered["function"]["parameters"]["properties"]["day"] = {"type": "integer"}
    send("openai/scripted", [offered])
    sent = [one["tools"][0]["function"]["parameters"] for one in scripted.requests[-3:]]
    assert [sorted(schema["properties"]) for schema in sent] == [
        ["city"],
        ["city"],
        ["city", "day"],
    ]
