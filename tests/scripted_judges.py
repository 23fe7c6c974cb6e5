"""Judges of requests: each refuses what the real provider or template refuses, in its words.

``server.judge = mistral`` makes a `ScriptedServer` answer 400 (or 422) to whatever breaks a rule of Mistral;
the answer queued waits for the next request. ``server.refusals`` are the reasons given so far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator, SchemaError

Body = dict[str, Any]
Judge = Callable[[str, Body], None]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refused(Exception):
    """A request that the provider would not take, with its status and the body of its answer."""

    def __init__(self, words: str, status: int, body: Any) -> None:
        super().__init__(words)
        self.status, self.body = status, body


# OpenAI ----------------------------------------------------------------------------------------------


def openai(path: str, body: Body) -> None:
    """Chat completions at OpenAI itself."""

    def refuse(words: str, param: str = "messages", code: str | None = None) -> None:
        error = {"message": words, "type": "invalid_request_error", "param": param, "code": code}
        raise Refused(words, 400, {"error": error})

    waiting: list[str] = []
    for at, message in enumerate(body["messages"]):
        role, place = message["role"], f"messages.[{at}]"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                    "message with 'tool_calls'.",
                    f"{place}.role",
                )
            waiting.remove(message["tool_call_id"])
            if isinstance(message["content"], list) and any(
                part["type"] != "text" for part in message["content"]
            ):
                refuse(
                    "Invalid value: 'image_url'. Supported values are: 'text'.", f"{place}.content"
                )
            continue
        if waiting:
            refuse(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to "
                "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(waiting)
            )
        if role not in ("system", "developer", "user", "assistant"):
            refuse(f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user'…")
        calls = message.get("tool_calls")
        if calls == []:
            refuse(f"Invalid '{place}.tool_calls': empty array. Expected length at least 1.")
        if message.get("content") is None and not calls:
            refuse(f"Invalid value for 'content': expected a string, got null. ({place})")
        for call in calls or ():
            _call_of_openai(call, refuse, place)
            waiting.append(call["id"])
    if waiting:
        refuse("An assistant message with 'tool_calls' must be followed by tool messages.")
    for number, tool in enumerate(body.get("tools") or ()):
        _tool_of_openai(number, tool["function"], refuse)
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and not body.get("tools"):
            refuse(f"'{name}' is only allowed when 'tools' are specified.", name)


def _call_of_openai(call: Any, refuse: Callable[..., None], place: str) -> None:
    function = call["function"]
    if not NAME.fullmatch(function["name"]):
        refuse(f"Invalid '{place}.tool_calls.function.name': string does not match pattern.")
    if len(call["id"]) > 40:
        refuse(f"Invalid '{place}.tool_calls.id': string too long. Expected maximum length 40.")
    if not isinstance(json.loads(function["arguments"]), dict):
        refuse("Invalid arguments: not an object")


def _tool_of_openai(number: int, function: dict[str, Any], refuse: Callable[..., None]) -> None:
    param = f"tools[{number}].function.parameters"
    name = function["name"]
    if not NAME.fullmatch(name):
        refuse(
            f"Invalid 'tools[{number}].function.name': string does not match pattern. Expected a string "
            "that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"tools[{number}].function.name",
            "invalid_value",
        )

    def bad(words: str) -> None:
        refuse(
            f"Invalid schema for function '{name}': {words}", param, "invalid_function_parameters"
        )

    schema = function.get("parameters")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        bad(f"schema must be a JSON Schema of 'type: \"object\"', got {schema!r:.80}.")
        return
    for key in ("oneOf", "anyOf", "allOf", "enum", "not"):
        if key in schema:
            bad(
                "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the "
                "top level."
            )
    if not isinstance(schema.get("properties"), dict):
        bad("In context=(), object schema missing properties.")
    _valid(schema, Draft202012Validator, bad)
    for context, inner in nodes(schema):
        types = inner.get("type")
        types = types if isinstance(types, list) else [types]
        if "array" in types and "items" not in inner:
            bad(f"In context={context}, array schema missing items.")
        if "prefixItems" in inner or isinstance(inner.get("items"), list):
            bad(f"In context={context}, array schema missing items.")


def _valid(schema: Any, validator: Any, bad: Callable[[str], None]) -> None:
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        bad(error.message)


def nodes(schema: Any, context: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Yield each schema within *schema*, with where it stands."""
    if not isinstance(schema, dict):
        return
    yield context, schema
    for name, one in (schema.get("properties") or {}).items():
        yield from nodes(one, (*context, "properties", name))
    for key in ("anyOf", "oneOf", "allOf", "any_of"):
        for number, one in enumerate(schema.get(key) or ()):
            yield from nodes(one, (*context, key, str(number)))
    for key in ("items", "additionalProperties"):
        yield from nodes(schema.get(key), (*context, key))


# Mistral ---------------------------------------------------------------------------------------------

_OF_MISTRAL = """model messages tools tool_choice temperature top_p max_tokens stream stop random_seed
    response_format parallel_tool_calls presence_penalty frequency_penalty n prediction safe_prompt prompt_mode
    reasoning_effort metadata"""
_AFTER = {
    "system": {"user", "assistant", "system"},
    "user": {"assistant", "system", "user"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}


def mistral(path: str, body: Body) -> None:
    """La Plateforme, and vLLM with Mistral's own tokenizer."""

    def refuse(words: str, kind: str = "invalid_request_message_order") -> None:
        answer = {"object": "error", "message": words, "type": kind, "param": None, "code": "3230"}
        raise Refused(words, 400, answer)

    for name in body:
        if name not in _OF_MISTRAL.split():
            detail = {
                "type": "extra_forbidden",
                "loc": ["body", name],
                "msg": "Extra inputs are not permitted",
                "input": body[name],
            }
            answer = {
                "object": "error",
                "message": {"detail": [detail]},
                "type": "invalid_request_error",
            }
            raise Refused(f"{name}: extra_forbidden", 422, answer)
    before, waiting = "", 0
    for message in body["messages"]:
        role = message["role"]
        if before and role not in _AFTER[before]:
            refuse(f"Unexpected role '{role}' after role '{before}'")
        if role == "tool":
            waiting -= 1
            _nine(message.get("tool_call_id"), refuse)
        elif waiting:
            refuse("Not the same number of function calls and responses")
        if role == "assistant":
            calls = message.get("tool_calls") or []
            if not message.get("content") and not calls:
                refuse("Assistant message must have either content or tool_calls, but not none.")
            waiting = len(calls)
            for call in calls:
                _nine(call["id"], refuse)
                if not NAME.fullmatch(call["function"]["name"]):
                    refuse(
                        f"Function name was {call['function']['name']} but must be a-z, A-Z, 0-9…"
                    )
        before = role
    if waiting:
        refuse("Not the same number of function calls and responses")
    if before not in ("user", "tool"):
        refuse(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
            f"{before}"
        )
    for tool in body.get("tools") or ():
        if not NAME.fullmatch(tool["function"]["name"]):
            refuse(f"Function name was {tool['function']['name']} but must be a-z, A-Z, 0-9…")
        _valid(
            tool["function"]["parameters"],
            Draft7Validator,
            lambda words: refuse(f"Invalid tool schema: {words}", "invalid_request_error"),
        )


def _nine(given: Any, refuse: Callable[..., None]) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9]{9}", str(given)):
        refuse(
            f"Tool call id was {given} but must be a-z, A-Z, 0-9, with a length of 9.",
            "invalid_request_error",
        )


# Chat templates, as llama.cpp and vLLM render them ----------------------------------------------------


def _template_error(words: str) -> Refused:
    answer = {"error": {"code": 400, "message": words, "type": "invalid_request_error"}}
    return Refused(words, 400, answer)


def mistral_template(path: str, body: Body) -> None:
    """The template of Mistral 7B v0.3 and Nemo: turns alternate, ids have nine characters."""
    chat = body["messages"]
    loop = chat[1:] if chat and chat[0]["role"] == "system" else chat
    turn = 0
    for message in loop:
        role = message["role"]
        if role == "user" or (role == "assistant" and not message.get("tool_calls")):
            if (role == "user") != (turn % 2 == 0):
                raise _template_error(
                    "After the optional system message, conversation roles must alternate "
                    "user/assistant/user/assistant/..."
                )
            turn += 1
        elif role not in ("assistant", "tool"):
            raise _template_error(
                "Only user and assistant roles are supported, with the exception of…"
            )
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        ids += [message["tool_call_id"]] if role == "tool" else []
        if any(len(one) != 9 for one in ids):
            raise _template_error("Tool call IDs should be alphanumeric strings with length 9!")
    _grammar(body)


def gemma_template(path: str, body: Body) -> None:
    """The template of Gemma 2 and 3: user and model in turns, and nothing else."""
    if body.get("tools"):
        raise _template_error("This model does not support tools")
    chat = body["messages"]
    loop = chat[1:] if chat and chat[0]["role"] == "system" else chat
    for at, message in enumerate(loop):
        if (message["role"] == "user") != (at % 2 == 0):
            raise _template_error(
                "Conversation roles must alternate user/assistant/user/assistant/..."
            )
        if not isinstance(message.get("content"), str):
            raise _template_error("Invalid content type")


def gemma_1_template(path: str, body: Body) -> None:
    """The template of the first Gemma, which knows no system message."""
    if body["messages"][0]["role"] == "system":
        raise _template_error("System role not supported")
    gemma_template(path, body)


def _grammar(body: Body) -> None:
    """llama.cpp makes a grammar of the schemas."""
    for tool in body.get("tools") or ():
        for _, schema in nodes(tool["function"]["parameters"]):
            pattern = schema.get("pattern")
            if pattern is not None and not (pattern.startswith("^") and pattern.endswith("$")):
                raise _template_error(
                    "JSON schema conversion failed:\nPattern must start with '^' and end with '$'"
                )
            if "$ref" in schema or not isinstance(schema.get("type", ""), str | list):
                raise _template_error(
                    f"JSON schema conversion failed:\nUnrecognized schema: {schema}"
                )


# Anthropic -------------------------------------------------------------------------------------------


def anthropic(path: str, body: Body) -> None:
    """The Messages API."""

    def refuse(words: str) -> None:
        error = {"type": "invalid_request_error", "message": words}
        raise Refused(words, 400, {"type": "error", "error": error})

    known = (
        "model messages system tools tool_choice stream max_tokens temperature top_p top_k thinking"
        " stop_sequences metadata output_config service_tier cache_control"
    )
    for name in body:
        if name not in known.split():
            refuse(f"{name}: Extra inputs are not permitted")
    used: set[str] = set()
    waiting: list[str] = []
    before = ""
    if not body["messages"]:
        refuse("messages: at least one message is required")
    for at, message in enumerate(body["messages"]):
        role, content = message["role"], message["content"]
        if role not in ("user", "assistant"):
            refuse(
                f'messages: Unexpected role "{role}". The Messages API accepts a top-level `system`'
            )
        if at == 0 and role != "user":
            refuse('messages: first message must use the "user" role')
        if role == before:
            refuse(
                f'messages: roles must alternate between "user" and "assistant", but found multiple '
                f'"{role}" roles in a row'
            )
        before = role
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            refuse(f"messages.{at}: all messages must have non-empty content")
        for block in blocks:
            if block["type"] == "text" and not block["text"].strip():
                refuse("messages: text content blocks must contain non-whitespace text")
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if sorted(results) != sorted(waiting):
            refuse(
                f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(waiting)}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            )
        waiting = [b["id"] for b in blocks if b["type"] == "tool_use"]
        for one in waiting:
            if not re.fullmatch(r"[a-zA-Z0-9_-]+", one):
                refuse(f"messages.{at}.content.0.tool_use.id: String should match pattern")
            if one in used:
                refuse(f"messages.{at}.content.1: `tool_use` ids must be unique")
            used.add(one)
    if before == "assistant":
        refuse(
            "This model does not support assistant message prefill. The conversation must end with a "
            "user message."
        )
    for number, tool in enumerate(body.get("tools") or ()):
        _tool_of_anthropic(f"tools.{number}.custom", tool, refuse)


def _tool_of_anthropic(place: str, tool: dict[str, Any], refuse: Callable[[str], None]) -> None:
    schema = tool.get("input_schema") or {}
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
        refuse(f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if schema.get("type") != "object":
        refuse(f"{place}.input_schema.type: Field required")
    if {"oneOf", "allOf", "anyOf"} & set(schema):
        refuse(
            f"{place}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        )
    _valid(
        schema,
        Draft202012Validator,
        lambda words: refuse(
            f"{place}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
        ),
    )
    for _, inner in nodes(schema):
        for name in inner.get("properties") or ():
            if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
                refuse(
                    f"{place}.input_schema.properties: Property keys should match pattern "
                    "'^[a-zA-Z0-9_.-]{1,64}$'"
                )
        if "$ref" in inner and not inner["$ref"].startswith("#/$defs/"):
            refuse(f"{place}.input_schema: JSON schema is invalid.")


# Gemini ----------------------------------------------------------------------------------------------

_GEMINI_FIELDS = """type format title description nullable enum maxItems minItems properties required
    minProperties maxProperties minLength maxLength pattern example anyOf propertyOrdering default items minimum
    maximum"""
_GEMINI_FORMATS = {
    "STRING": {"date-time", "enum"},
    "NUMBER": {"float", "double"},
    "INTEGER": {"int32", "int64"},
}


def gemini(path: str, body: Body) -> None:
    """``streamGenerateContent``."""

    def refuse(words: str) -> None:
        raise Refused(
            words, 400, {"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}
        )

    before, calls = "", 0
    if not body.get("contents"):
        refuse("* GenerateContentRequest.contents: contents is not specified\n")
    for at, content in enumerate(body["contents"]):
        role, parts = content.get("role", "user"), content["parts"]
        if role not in ("user", "model", "function"):
            refuse("Please use a valid role: user, model.")
        if not parts:
            refuse(
                f"* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n"
            )
        for part in parts:
            if "text" in part and not part["text"]:
                refuse("Unable to submit request because it must have a text parameter.")
        made = sum("functionCall" in p or "function_call" in p for p in parts)
        given = sum("functionResponse" in p or "function_response" in p for p in parts)
        if made and before not in ("user", "function response"):
            refuse(
                "Please ensure that function call turn comes immediately after a user turn or after a "
                "function response turn."
            )
        if given != calls:
            refuse(
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn."
            )
        if role == "model" and before in ("", "model"):
            refuse("Please ensure that multiturn requests alternate between user and model.")
        if role == "user" and before == "user":
            refuse("Please ensure that multiturn requests alternate between user and model.")
        before, calls = "function response" if given else role, made
    if before == "model":
        refuse("Please ensure that multiturn requests end with a user turn or a function response.")
    for at, tool in enumerate(body.get("tools") or ()):
        declared = tool.get("functionDeclarations") or tool.get("function_declarations") or ()
        for number, function in enumerate(declared):
            place = f"GenerateContentRequest.tools[{at}].function_declarations[{number}]"
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}", function["name"]):
                refuse(f"* {place}.name: [FIELD_INVALID] Invalid function name.")
            if "parameters" in function:
                _schema_of_gemini(function["parameters"], f"{place}.parameters", refuse)


def _schema_of_gemini(schema: Any, place: str, refuse: Callable[[str], None]) -> None:
    for key in schema:
        if key not in _GEMINI_FIELDS.split():
            refuse(
                f"Invalid JSON payload received. Unknown name \"{key}\" at '{place}': Cannot find field."
            )
    kind = schema.get("type")
    if isinstance(kind, list):
        refuse(f"Invalid value at '{place}': Proto field is not repeating, cannot start list.")
    kind = str(kind or "").upper()
    if branches := schema.get("anyOf"):
        if set(schema) - {"anyOf"}:
            refuse(f"`{place}` schema specified other fields alongside any_of.")
        for number, one in enumerate(branches):
            _schema_of_gemini(one, f"{place}.any_of[{number}]", refuse)
        return
    if kind not in ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"):
        refuse(f"* {place}.type: must be specified, not {kind!r}\n")
    if kind == "ARRAY" and "items" not in schema:
        refuse(f"* {place}.items: missing field.\n")
    if "enum" in schema and (kind != "STRING" or not all(map(_said, schema["enum"]))):
        refuse(f"* {place}.enum: only allowed for STRING type, and cannot be empty\n")
    if "format" in schema and schema["format"] not in _GEMINI_FORMATS.get(kind, ()):
        refuse(f"* {place}.format: only 'enum' and 'date-time' are supported for STRING type\n")
    properties = schema.get("properties")
    if properties == {}:
        refuse(f"* {place}.properties: should be non-empty for OBJECT type\n")
    for number, name in enumerate(schema.get("required") or ()):
        if name not in (properties or {}):
            refuse(f"* {place}.required[{number}]: property is not defined\n")
    for name, one in (properties or {}).items():
        _schema_of_gemini(one, f"{place}.properties[{name}]", refuse)
    if "items" in schema:
        _schema_of_gemini(schema["items"], f"{place}.items", refuse)


def _said(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def without(*names: str, words: str) -> Judge:
    """A server that does not know some parameters: ``{name}`` in *words* is the one it found."""

    def judge(path: str, body: Body) -> None:
        held = {**body, **(body.get("generationConfig") or {}), **(body.get("options") or {})}
        for name in names:
            if name in held:
                said = words.replace("{name}", name)
                raise Refused(
                    said, 400, {"error": {"message": said, "type": "invalid_request_error"}}
                )

    return judge
