"""Reading tool calls that a model wrote as text."""

from __future__ import annotations

import json

import pytest

from letta_kernel.models.written_calls import (
    as_text,
    describe_tools,
    may_be_call,
    read_calls,
    shown_length,
)

NAMES = {"add", "weather"}
CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"<tool_call>{CALL}</tool_call>", ""),
        (f"<tool_call>\n{CALL}\n</tool_call>", ""),
        (f"<tool_call>{CALL}", ""),
        (f"<function_call>{CALL}</function_call>", ""),
        (f"Let me add.\n<tool_call>{CALL}</tool_call>", "Let me add."),
        (f"```json\n{CALL}\n```", ""),
        (f"I will use the tool:\n```json\n{CALL}\n```", "I will use the tool:"),
        (CALL, ""),
        (f"[{CALL}]", ""),
        ('{"tool": "add", "args": {"a": 1, "b": 2}}', ""),
        ('{"function": "add", "parameters": {"a": 1, "b": 2}}', ""),
        ('{"type": "function", "function": ' + CALL + "}", ""),
        ("add(a=1, b=2)", ""),
        ("[add(a=1, b=2)]", ""),
        ("```tool_code\nadd(a=1, b=2)\n```", ""),
        ("```python\nadd(a=1, b=2)\n```", ""),
        (f"<|python_tag|>{CALL}", ""),
        (f"[TOOL_CALLS][{CALL}]", ""),
        ('Adding.\n<function=add>{"a": 1, "b": 2}</function>', "Adding."),
        (
            f"Adding.\n<tool_call>{CALL}</tool_call>\n<tool_response>3</tool_response>\nIt is 3.",
            "Adding.",
        ),
        (f"<tool_call>{CALL[:-1]}</tool_call>", ""),
        ('<tool_call>{"name": "functions.add", "arguments": {"a": 1, "b": 2}}</tool_call>', ""),
        ('{"name": "default_api.add", "arguments": {"a": 1, "b": 2}}', ""),
        ('<function=functions.add>{"a": 1, "b": 2}</function>', ""),
        ("```tool_code\nprint(default_api.add(a=1, b=2))\n```", ""),
    ],
)
def test_common_forms_are_read(text: str, rest: str) -> None:
    left, calls = read_calls(text, NAMES)
    assert left == rest
    assert [(c.name, json.loads(c.arguments)) for c in calls] == [("add", {"a": 1, "b": 2})]


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 3.",
        '{"name": "Kim", "age": 3}',
        '```json\n{"a": 1}\n```',
        "print(add(1, 2))",
        "Use add(a=1, b=2) to add.",
        "Write this:\n```python\nadd(a=1, b=2)\n```\nand it adds.",
        '<tool_call>{"name": "nobody", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": 1',
        '{"name": "remove_everything", "arguments": {}}',
        "[1, 2, 3]",
        "",
        "{" * 5000,
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read_calls(text, NAMES) == (text, [])


def test_a_wrong_name_between_tags_can_be_told_to_the_model() -> None:
    text = '<tool_call>{"name": "nobody", "arguments": {"a": 1}}</tool_call>'
    (call,) = read_calls(text, NAMES, any_name=True)[1]
    assert (call.name, call.arguments) == ("nobody", '{"a": 1}')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is 3", "It is 3"),
        (f"Adding.\n<tool_call>{CALL}", "Adding.\n"),
        ("Adding.\n<tool_", "Adding.\n"),
        ("3 < 4", "3 < 4"),
        ("See:\n```python\nx = 1", "See:\n"),
        ("See:\n```python\nx = 1\n```\nThat", "See:\n```python\nx = 1\n```\nThat"),
        (f"See:\n```json\n{CALL}\n```\nThat", "See:\n"),
        ("ad", ""),
        ("add(a=1", ""),
        ("adding up", "adding up"),
        (CALL, ""),
    ],
)
def test_what_may_be_a_call_is_not_shown_while_it_streams(text: str, shown: str) -> None:
    assert text[: shown_length(text, NAMES)] == shown


def test_two_calls_come_in_order() -> None:
    text = f"<tool_call>{CALL}</tool_call><tool_call>{CALL.replace('add', 'weather')}</tool_call>"
    assert [c.name for c in read_calls(text, NAMES)[1]] == ["add", "weather"]


@pytest.mark.parametrize(
    ("text", "held"),
    [("", True), ("<tool", True), ("```js", True), ("{", True), ("Hel", False), ("<b>", False)],
)
def test_only_what_may_be_a_call_is_held_back(text: str, held: bool) -> None:
    assert may_be_call(text) is held


def test_history_is_written_out_with_alternating_roles() -> None:
    function = {"name": "add", "description": "Add.", "parameters": {}}
    tools = describe_tools([{"type": "function", "function": function}])
    chat = as_text(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Add."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "3"},
            {"role": "user", "content": "Thanks"},
        ],
        tools,
    )
    assert [m["role"] for m in chat] == ["system", "user", "assistant", "user"]
    assert chat[0]["content"].startswith("Be kind.")
    assert '"name": "add"' in chat[0]["content"]
    assert read_calls(chat[2]["content"], NAMES)[1][0].arguments == '{"a": 1}'
    assert "<tool_response>3</tool_response>" in chat[3]["content"]
