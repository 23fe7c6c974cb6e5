"""What an MCP server says of its tools and answers, made fit to keep and to show."""

from __future__ import annotations

import json
from typing import Any

import mcp_types
import pytest

from letta_kernel.errors import ToolError
from letta_kernel.models.schemas import portable
from letta_kernel.records import Tool
from letta_kernel.tools.arguments import ToolArgumentError, parse_arguments
from letta_kernel.tools.mcp_results import outcome_of
from letta_kernel.tools.mcp_schema import SCHEMA, clean_schema, plain_text, tool_name


def one(schema: Any, **beside: Any) -> Any:
    """Clean a schema with one argument ``x``; return what became of that."""
    return clean_schema({"type": "object", "properties": {"x": schema}, **beside})["properties"][
        "x"
    ]


def accepts(schema: dict[str, Any], **arguments: Any) -> bool:
    tool = Tool(name="t", parameters=clean_schema(schema))
    try:
        return parse_arguments(tool, json.dumps(arguments)) == arguments
    except ToolArgumentError:
        return False


@pytest.mark.parametrize("schema", [None, True, [], "object", {}, {"type": "string"}])
def test_no_arguments(schema: Any) -> None:
    assert clean_schema(schema) == {"type": "object", "properties": {}, "required": []}


def test_known_keywords_stay_others_go() -> None:
    schema = {
        "type": "string",
        "title": "X",
        "description": "an x",
        "minLength": 1,
        "maxLength": "many",
        "pattern": "^a",
        "format": ["odd"],
        "x-secret": "do as I say",
        "$comment": "…",
        "if": {"const": 1},
    }
    kept = {"type": "string", "description": "an x", "minLength": 1, "pattern": "^a"}
    assert one(schema) == kept
    assert one({"type": ["string", "alien"], "nullable": True}) == {"type": ["string", "null"]}
    assert one({"type": "integer", "minimum": True, "maximum": 1e999, "multipleOf": 0}) == {
        "type": "integer"
    }
    assert one({"type": "string", "enum": [{"a": 1}]}) == {"type": "string"}
    assert one({"default": "x" * 2000}) == {}
    assert one({"type": "array", "items": [{"type": "string"}], "minItems": 1.0}) == {
        "type": "array",
        "prefixItems": [{"type": "string"}],
        "minItems": 1,
    }


def test_required_are_only_those_that_exist() -> None:
    found = clean_schema({"properties": {"a": {}, "b": {}}, "required": ["b", "c", 3]})
    assert found["required"] == ["b"]
    assert clean_schema({"properties": {"a": {}}, "required": "a"})["required"] == []


def test_references_are_written_out() -> None:
    definitions = {"P": {"type": "object", "properties": {"n": {"$ref": "#/definitions/N"}}}}
    definitions["N"] = {"type": "number", "description": "a number"}
    assert one({"$ref": "#/definitions/P", "description": "mine"}, definitions=definitions) == {
        "type": "object",
        "properties": {"n": {"type": "number", "description": "a number"}},
        "required": [],
        "description": "mine",
    }
    # As made from zod: pointers to where a schema stood first.
    shared = {"a": {"type": "array", "items": {"type": "string"}}}
    pointing = clean_schema({"properties": {**shared, "b": {"$ref": "#/properties/a/items"}}})
    assert pointing["properties"]["b"] == {"type": "string"}
    for reference in (
        "http://elsewhere/s.json",
        "#/nowhere",
        "#/definitions/N/0",
        "file:///etc",
        "#N",
    ):
        assert one({"$ref": reference}, definitions=definitions) == {}
    assert one({"$ref": "#/$defs/a~1b%20c"}, **{"$defs": {"a/b c": {"type": "null"}}}) == {
        "type": "null"
    }


def test_recursion_ends() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}
    found = one({"$ref": "#/$defs/T"}, **{"$defs": {"T": tree}})
    assert found["properties"]["next"] == {}
    assert one({"$ref": "#/$defs/T"}, **{"$defs": {"T": {"$ref": "#/$defs/T"}}}) == {}
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"type": "array", "items": deep}
    assert len(json.dumps(one(deep))) < 1000


def test_what_is_too_large_is_refused() -> None:
    bomb = {
        f"L{n}": {"anyOf": [{"$ref": f"#/$defs/L{n + 1}"} for _ in range(10)]} for n in range(15)
    }
    with pytest.raises(ToolError, match="too large"):
        one({"$ref": "#/$defs/L0"}, **{"$defs": bomb})
    wide = {f"a{n}": {"type": "string", "description": "x" * 500} for n in range(100)}
    with pytest.raises(ToolError, match=f"at most {SCHEMA:,}"):
        clean_schema({"properties": wide})


def test_any_name_of_an_argument_is_kept_since_requests_rename_it() -> None:
    for name in ("", "with space", "$filter", "x" * 65, "naïve"):
        found = clean_schema({"properties": {name: {"type": "string"}}, "required": [name]})
        assert (list(found["properties"]), found["required"]) == ([name], [name])
        sent = portable(found)
        assert [sent.keys[key] for key in sent.schema["properties"]] == [name]


def test_null_and_types_as_openapi_writes_them() -> None:
    null = {"type": "null"}
    named = {"$defs": {"A": {"type": "string"}}}
    string = {"type": "string"}
    assert one({"type": "STRING"}) == string
    assert one({"$ref": "#/$defs/A", "nullable": True}, **named) == {"anyOf": [string, null]}
    inside = {"allOf": [{"$ref": "#/$defs/A"}], "nullable": True, "description": "an x"}
    found = one(inside, **named)
    assert found == {"description": "an x", "anyOf": [{"allOf": [string]}, null]}
    assert portable({"properties": {"x": found}}).schema["properties"]["x"]["anyOf"] == [
        string,
        null,
    ]


def test_alternatives_at_the_top_become_arguments() -> None:
    by_id = {"properties": {"id": {"type": "integer"}, "all": {}}, "required": ["id", "all"]}
    by_name = {"properties": {"name": {"type": "string"}, "all": {}}, "required": ["all"]}
    either = clean_schema({"type": "object", "anyOf": [by_id, by_name]})
    assert list(either["properties"]) == ["id", "all", "name"]
    assert either["required"] == ["all"]
    both = clean_schema({"type": "object", "allOf": [by_id, by_name]})
    assert both["required"] == ["id", "all"]
    assert "allOf" not in both


def test_arguments_are_checked_by_what_is_left() -> None:
    dated = {"properties": {"x": {"type": "string", "format": "date-time", "pattern": "^2"}}}
    assert accepts(dated, x="2026-01-01T00:00:00Z")
    assert not accepts(dated, x="yesterday")
    odd = {"properties": {"x": {"type": "integer", "minimum": 3, "pattern": "("}}}
    assert accepts(odd, x=3)
    assert not accepts(odd, x=2)
    senseless = {"properties": {"x": {"type": "array", "minItems": 5, "maxItems": 1}}}
    assert not accepts(senseless, x=[1, 2])
    free = {"properties": {"x": {"type": "integer"}}, "additionalProperties": True}
    assert accepts(free, x=1, y={"any": ["thing"]})
    assert not accepts(free, x="one")
    assert not accepts({**free, "additionalProperties": False}, x=1, y=2)
    assert not accepts({"properties": free["properties"]}, x=1, y=2)


def test_names() -> None:
    assert tool_name("fs", "read_file", set()) == "read_file"
    assert tool_name("fs", "read file, please", set()) == "read_file_please"
    assert tool_name("fs", "read", {"read"}) == "fs__read"
    assert tool_name("fs", "read", {"read", "fs__read"}) == "fs__read_2"
    assert tool_name("fs", "3d", set()) == "fs__3d"
    assert tool_name("fs", "→", set()) == "tool"
    long = tool_name("fs", "x" * 100, {"x" * 64, f"fs__{'x' * 60}"})
    assert len(long) == 64
    assert long.endswith("_2")


def test_hidden_characters_go() -> None:
    hidden = "a\x00b\x1b[31mc\u202ed\U000e0041e\nf\u200dg"
    assert plain_text(hidden, 100) == "ab[31mcde\nf\u200dg"
    assert plain_text("x" * 10, 5) == "xxxx…"


def answer(*content: dict[str, Any], **beside: Any) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult.model_validate({"content": list(content), **beside})


PICTURE = {"type": "image", "data": "iVBORw==", "mimeType": "image/png"}


def test_answers_of_every_kind() -> None:
    made = outcome_of(
        answer(
            {"type": "text", "text": "first"},
            PICTURE,
            PICTURE,
            {"type": "image", "data": "not base64!", "mimeType": "image/png"},
            {"type": "image", "data": "PHN2Zz4=", "mimeType": "image/svg+xml"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "name": "notes", "uri": "file:///notes", "description": "d"},
            {"type": "resource", "resource": {"uri": "a:b", "text": "the text"}},
            {"type": "resource", "resource": {"uri": "a:c", "blob": "AAAA"}},
        ),
        1000,
    )
    assert made.status == "ok"
    assert made.text.split("\n") == [
        "first",
        "[image/png, 4 bytes; shown to the user]",
        "[image/png, 4 bytes; one more, not shown]",
        "[image/png, not valid base64; it cannot be shown]",
        "[image/svg+xml, 5 bytes; it cannot be shown]",
        "[audio/wav, 3 bytes; it cannot be played here]",
        "[resource notes, file:///notes: d]",
        "[resource a:b]",
        "the text",
        "[resource a:c: unknown type, 3 bytes]",
    ]
    assert made.display == {"image/png": "iVBORw==", "text/plain": made.text}


def test_structured_content_where_there_is_no_text() -> None:
    assert outcome_of(answer(structuredContent={"a": [1]}), 100).text == '{"a": [1]}'
    both = answer({"type": "text", "text": "said"}, structuredContent={"a": 1})
    assert outcome_of(both, 100).text == "said"
    assert outcome_of(answer(), 100).text == "None"
    wordless = outcome_of(answer(isError=True), 100)
    assert (wordless.status, wordless.error) == ("error", "The tool failed without saying why.")
    long = outcome_of(answer({"type": "text", "text": "x" * 5000}), 500)
    assert len(long.text) <= 500
