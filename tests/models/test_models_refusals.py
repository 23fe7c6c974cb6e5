"""What a model refuses though it could do without is left out of a second try, and of every call after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import scripted_judges as judges
from scripted_server import ScriptedServer

from letta_kernel.models.base import ModelError, Retrying

MODEL = "openai/scripted"
GIVEN: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "max_tokens": 50,
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
}
WORDS = {
    "stream_options": [
        "Unrecognized request argument supplied: {name}",
        '{"detail":[{"type":"extra_forbidden","loc":["body","{name}"],"msg":"Extra inputs are not '
        'permitted"}]}',
        "{name}: Extra inputs are not permitted",
        "Validation: Unsupported parameter(s): `{name}`",
    ],
    "temperature": [
        "Unsupported value: '{name}' does not support 0.5 with this model. Only the default (1) value is "
        "supported.",
        "`{name}` is deprecated for this model.",
        "`{name}` may only be set to 1 when thinking is enabled.",
        "Unsupported parameter: '{name}' is not supported with this model.",
    ],
    "top_p": [
        "`temperature` and `{name}` cannot both be specified for this model. Please use only one."
    ],
    "seed": ["Unknown parameter: '{name}'.", "Argument not supported on this model: {name}"],
    "max_tokens": ["property '{name}' is unsupported"],
    "parallel_tool_calls": ["Unsupported param: {name}", "This model doesn't support {name}."],
    "reasoning_effort": [
        "Model grok-4 does not support parameter reasoningEffort.",
        "`{name}` is not supported with this model",
    ],
}
CASES = [(name, words) for name, all_words in WORDS.items() for words in all_words]


@pytest.mark.parametrize(("name", "words"), CASES)
def test_a_parameter_is_left_out(
    scripted: ScriptedServer, ask: Callable, name: str, words: str
) -> None:
    scripted.judge = judges.without(name, words=words)
    first = ask(model=MODEL, tools=True, **GIVEN)
    assert first[-1].text == "Done."
    again = ask(model=MODEL, tools=True, **GIVEN)
    assert len(scripted.refusals) == 1, "once a process"
    assert len(scripted.requests) == 3
    kept = {"stream_options", "temperature", "top_p", "seed", "max_tokens"} - {name}
    assert kept <= set(scripted.requests[-1])
    told = [piece.reason for piece in first if isinstance(piece, Retrying)]
    ours = name in ("stream_options", "parallel_tool_calls")
    assert bool(told) != ours, "what a person has set is missed, and told once"
    assert not [piece for piece in again if isinstance(piece, Retrying)]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Unsupported parameter", "param": "stream_options"}},
        {"errors": [{"message": "property 'stream_options' is unsupported"}]},
        {"detail": "stream_options is not supported"},
        {"error": 'json: unknown field "stream_options"'},
    ],
)
def test_a_refusal_is_read_in_any_body(scripted: ScriptedServer, ask: Callable, body: Any) -> None:
    scripted.fault(400, body=body)
    assert ask(model=MODEL)[-1].text == "Done."
    assert "stream_options" not in scripted.requests[-1]


def test_a_parameter_of_another_name_is_sent_under_that(
    scripted: ScriptedServer, ask: Callable
) -> None:
    words = (
        "Unsupported parameter: '{name}' is not supported with this model. Use '{other}' instead."
    )
    for name, other in (
        ("max_tokens", "max_completion_tokens"),
        ("max_completion_tokens", "max_tokens"),
    ):
        model = f"openai/{name}"
        scripted.judge = judges.without(name, words=words.replace("{other}", other))
        ask(model=model, **{name: 50})
        assert scripted.requests[-1][other] == 50
        assert name not in scripted.requests[-1]


def test_several_are_left_out_one_after_the_other(scripted: ScriptedServer, ask: Callable) -> None:
    names = ("stream_options", "temperature", "top_p", "seed")
    scripted.judge = judges.without(*names, words="Unknown parameter: '{name}'.")
    ask(model=MODEL, **GIVEN)
    assert not set(names) & set(scripted.requests[-1])
    assert len(scripted.refusals) == 4


@pytest.mark.parametrize(
    "words",
    [
        "tool_choice 'required' is incompatible with thinking enabled",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "The tool_choice parameter does not support being set to required or object in thinking mode",
        "tool_choice is not supported by this model",
    ],
)
def test_a_tool_choice_is_left_out(scripted: ScriptedServer, words: str) -> None:
    from letta_kernel.models.base import Cancel, ChatRequest
    from letta_kernel.models.registry import open_model

    function = {"name": "add", "description": "", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    request = ChatRequest([{"role": "user", "content": "u"}], tools, "required", {"seed": 1})
    scripted.judge = judges.without("tool_choice", words=words)
    list(open_model(MODEL).stream(request, Cancel()))
    assert "tool_choice" not in scripted.requests[-1]
    assert scripted.requests[-1]["tools"]


def test_another_model_is_sent_everything(scripted: ScriptedServer, ask: Callable) -> None:
    scripted.judge = judges.without("temperature", words="{name} is not supported")
    ask(model=MODEL, temperature=0.5)
    scripted.judge = None
    ask(model="openai/other", temperature=0.5)
    assert scripted.requests[-1]["temperature"] == 0.5


@pytest.mark.parametrize(
    "words",
    [
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5 instead.",
        "temperature must be between 0 and 1",
        "max_tokens is too large: 999999. This model supports at most 4096 completion tokens.",
        "Something else is not supported.",
        "You are not allowed to sample from this model",
    ],
)
def test_a_wrong_value_and_other_refusals_are_told(
    scripted: ScriptedServer, ask: Callable, words: str
) -> None:
    scripted.fault(400, message=words)
    with pytest.raises(ModelError) as caught:
        ask(model=MODEL, temperature=0.5, max_tokens=999_999)
    assert words[:40] in str(caught.value)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("status", "words", "does"),
    [
        (400, "registry.ollama.ai/library/gemma2:2b does not support tools", "another model"),
        (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "--enable-auto-tool-choice",
        ),
        (500, "tools param requires --jinja flag", "--jinja"),
        (500, "Unsupported param: tools", "another model"),
        (404, "No endpoints found that support tool use. Try disabling it.", "another model"),
        (400, "Function calling is not enabled for models/gemma-3-27b-it", "another model"),
        (400, "`tool calling` is not supported with this model", "another model"),
        (
            400,
            "tools is not supported in this model. For a list of supported models, see …",
            "another",
        ),
        (400, "deepseek-reasoner does not support Function Calling", "another model"),
        (422, "This model doesn't support tool use.", "another model"),
        (400, "Unrecognized request argument supplied: tools", "another model"),
        (422, '[{"loc": ["body", "tools"], "msg": "Extra inputs are not permitted"}]', "another"),
    ],
)
def test_a_model_without_tools_is_told_of_with_what_to_do(
    scripted: ScriptedServer, ask: Callable, status: int, words: str, does: str
) -> None:
    scripted.fault(status, message=words, times=3)
    with pytest.raises(ModelError) as caught:
        ask(model=MODEL, tools=True)
    text = str(caught.value)
    assert "takes no tools" in text
    assert does in text
    assert "tool_calls" in text
    assert words[:60] in text
    assert "\n" not in text
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    ],
)
def test_a_model_without_a_system_role_gets_it_as_the_users(
    scripted: ScriptedServer, ask: Callable, words: str
) -> None:
    def judge(path: str, body: dict[str, Any]) -> None:
        if body["messages"][0]["role"] == "system":
            raise judges.Refused(words, 400, {"error": {"message": words}})

    scripted.judge = judge
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    for _ in range(2):
        ask(chat, model=MODEL)
    assert len(scripted.refusals) == 1
    assert scripted.requests[-1]["messages"] == [{"role": "user", "content": "Be kind.\n\nHi"}]


def test_other_doors_learn_as_well(
    scripted: ScriptedServer, ask: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = scripted.url.removesuffix("/v1")
    for name, value in {
        "ANTHROPIC_API_KEY": "key",
        "ANTHROPIC_BASE_URL": root,
        "GEMINI_API_KEY": "key",
        "GEMINI_API_BASE": root,
        "AZURE_API_KEY": "key",
        "AZURE_API_BASE": root,
        "AZURE_API_VERSION": "2025-01-01-preview",
    }.items():
        monkeypatch.setenv(name, value)
    for model in ("anthropic/claude-haiku-4-5", "gemini/gemini-3.5-flash", "azure/mine"):
        scripted.judge = judges.without(
            "temperature", words="`{name}` is deprecated for this model."
        )
        before = len(scripted.refusals)
        for _ in range(2):
            assert ask(model=model, temperature=0.5)[-1].text == "Done."
        assert len(scripted.refusals) == before + 1, model


def test_a_template_that_knows_no_calls_gets_them_as_text(
    scripted: ScriptedServer, ask: Callable
) -> None:
    """Gemma's template takes tools where nothing shows them, and breaks at the first result."""

    def judge(path: str, body: dict[str, Any]) -> None:
        judges.gemma_template(path, {**body, "tools": None})

    scripted.judge = judge
    function = {"name": "add", "arguments": '{"a": 1}'}
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Add"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    for turn in range(2):
        scripted.say('<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>')
        found = ask(chat, model=MODEL, tools=True, temperature=0.5)[-1]
        assert [(c.name, c.arguments) for c in found.tool_calls] == [("add", '{"a": 2}')], turn
    assert len(scripted.refusals) == 1
    assert "tools" not in scripted.requests[-1]
    assert scripted.requests[-1]["temperature"] == 0.5
    assert "<tool_response>1</tool_response>" in scripted.requests[-1]["messages"][-1]["content"]


def test_text_and_calls_stand_apart_where_one_message_may_not_hold_both(
    scripted: ScriptedServer, ask: Callable
) -> None:
    def judge(path: str, body: dict[str, Any]) -> None:
        judges.mistral_template(path, body)
        if any(m.get("content") and m.get("tool_calls") for m in body["messages"]):
            words = "Assistant message must have either content or tool_calls, but not both."
            raise judges.Refused(words, 400, {"object": "error", "message": words})

    scripted.judge = judge
    function = {"name": "add", "arguments": "{}"}
    chat = [
        {"role": "user", "content": "Add"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    for _ in range(2):
        assert ask(chat, model=MODEL, tools=True)[-1].text == "Done."
    assert len(scripted.refusals) == 1
    assert scripted.requests[-1]["messages"][1]["content"] == "Let me see."


def test_a_fallback_is_asked_where_a_model_takes_no_tools(
    scripted: ScriptedServer, ask: Callable
) -> None:
    scripted.fault(400, message="gemma does not support tools")
    scripted.call("add", {"a": 1})
    found = ask(model=MODEL, fallbacks=("openai/other",), tools=True)
    assert found[-1].model == "openai/other"
    assert "takes no tools" in found[0].reason
