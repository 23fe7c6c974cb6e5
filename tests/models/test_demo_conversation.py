"""The demo model in conversation: it asks, confirms, admits failure, keeps to its tools and ends its turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatRequest,
    ModelError,
    Reply,
    TextPiece,
)
from letta_kernel.models.demo.model import HELP, LABEL, DemoModel
from letta_kernel.tools import notebook


def tool(
    name: str, description: str, properties: dict[str, Any], required: list[str] | None = None
) -> Any:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


TEXT = {"type": "string", "description": ""}
APPEND = tool("core_memory_append", "Append.", {"label": TEXT, "content": TEXT})
REPLACE = tool(
    "memory_replace", "Replace.", {"label": TEXT, "old_string": TEXT, "new_string": TEXT}
)
ARCHIVE = tool("archival_memory_insert", "Save.", {"content": TEXT})
SEARCH = tool("archival_memory_search", "Search.", {"query": TEXT})
MEMORY = [APPEND, REPLACE, ARCHIVE, SEARCH]
HEATING = tool(
    "set_heating",
    "Set the heating of a room.",
    {
        "room": {"type": "string", "description": "Which room."},
        "degrees": {"type": "number", "description": "Temperature in degrees."},
    },
)


class Talk:
    """A conversation with the demo model, kept in OpenAI's chat form."""

    def __init__(self, tools: list[Any], **blocks: str) -> None:
        self.tools = tools
        self.history: list[dict[str, Any]] = []
        sections = "\n".join(
            f'<block label="{label}" read_only="false">\n<value>\n{value}\n</value>\n</block>'
            for label, value in {"persona": "I help.", "human": "", **blocks}.items()
        )
        self.system = f"Be good.\n<memory_blocks>\n{sections}\n</memory_blocks>"

    def say(self, text: str, **options: Any) -> Reply:
        self.history.append({"role": "user", "content": text})
        return self.go_on(**options)

    def go_on(self, **options: Any) -> Reply:
        messages = [{"role": "system", "content": self.system}, *self.history]
        request = ChatRequest(messages, self.tools, **options)
        *_, reply = DemoModel().stream(request, Cancel())
        assert isinstance(reply, Reply)
        entry: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
        if reply.tool_calls:
            entry["tool_calls"] = [
                {
                    "id": c.id,
                    "type": "function",
                    "function": {"name": c.name, "arguments": c.arguments},
                }
                for c in reply.tool_calls
            ]
        self.history.append(entry)
        return reply

    def result(self, reply: Reply, text: str, status: str = "OK", **options: Any) -> Reply:
        for call in reply.tool_calls:
            content = json.dumps({"status": status, "message": text, "time": "2026-01-01T00:00:00"})
            self.history.append({"role": "tool", "tool_call_id": call.id, "content": content})
        return self.go_on(**options)


def arguments(reply: Reply) -> dict[str, Any]:
    (call,) = reply.tool_calls
    value: dict[str, Any] = json.loads(call.arguments)
    return value


def test_missing_argument_is_asked_for_and_the_answer_completes_the_call() -> None:
    talk = Talk([*MEMORY, HEATING])
    asked = talk.say("Set the heating in the kitchen")
    assert asked.text.endswith("?")
    assert "degrees" in asked.text
    done = talk.say("19.5 please")
    assert arguments(done) == {"room": "kitchen", "degrees": 19.5}


def test_two_missing_arguments_may_come_one_by_one() -> None:
    talk = Talk([HEATING])
    assert talk.say("set the heating").text.endswith("?")
    assert "room" in talk.say("21 degrees").text
    assert arguments(talk.say("the nursery")) == {"room": "nursery", "degrees": 21}


def test_a_question_can_be_declined() -> None:
    talk = Talk([HEATING])
    talk.say("set the heating")
    assert not talk.say("never mind").tool_calls


def test_something_else_may_be_asked_instead_of_answering() -> None:
    talk = Talk([*MEMORY, HEATING], human="The user's name is Ada.")
    talk.say("set the heating")
    assert "Ada" in talk.say("what's my name?").text


def test_a_failed_call_is_told_and_not_repeated() -> None:
    talk = Talk([HEATING])
    call = talk.say("set the heating in the attic to 20 degrees")
    told = talk.result(call, "ValueError: there is no attic", status="Failed")
    assert not told.tool_calls
    assert "there is no attic" in told.text


def test_a_refused_memory_edit_is_told() -> None:
    talk = Talk(MEMORY)
    call = talk.say("Remember that I like figs")
    told = talk.result(call, "The block human is read-only.", status="Failed")
    assert not told.tool_calls
    assert "read-only" in told.text


def test_two_requests_become_two_calls_and_one_answer() -> None:
    talk = Talk([*MEMORY, HEATING])
    first = talk.say("My name is Iris. Set the heating in the hall to 18 degrees")
    assert first.tool_calls[0].name == "core_memory_append"
    second = talk.result(first, "edited")
    assert arguments(second) == {"room": "hall", "degrees": 18}
    told = talk.result(second, "hall is at 18")
    assert not told.tool_calls
    assert "Iris" in told.text
    assert "hall is at 18" in told.text


def test_the_same_call_is_never_made_twice_in_a_turn() -> None:
    talk = Talk([HEATING])
    reply = talk.say("set the heating in the hall to 18 degrees")
    for _ in range(3):
        reply = talk.result(reply, "None")
    assert not reply.tool_calls


def test_a_newer_fact_replaces_the_older() -> None:
    talk = Talk(MEMORY, human="The user's name is Ida.\nThe user lives in Bonn.")
    edit = arguments(talk.say("I live in Trier now"))
    assert edit["old_string"] == "The user lives in Bonn."
    assert "Trier" in edit["new_string"]


def test_two_facts_that_only_look_alike_are_both_kept() -> None:
    talk = Talk(MEMORY, human="The user's dog is brown.")
    call = talk.say("My dog is called Rex")
    assert call.tool_calls[0].name == "core_memory_append"


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("Move the meeting to Friday.", None),
        ("Read the news to me.", None),
        ("Insert tea into the list.", None),
        ("Read the notebook.", "notebook_read"),
        ("Delete the cell 3.", "notebook_delete"),
    ],
)
def test_tools_that_a_notebook_lends_are_called_where_it_is_spoken_of(
    message: str, wanted: str | None
) -> None:
    lent = [
        {
            "type": "function",
            "function": one.model_dump(include={"name", "description", "parameters"}),
        }
        for one in notebook.offered("ask")
    ]
    reply = Talk([*MEMORY, *lent]).say(message)
    assert [call.name for call in reply.tool_calls] == ([wanted] if wanted else [])


def test_a_known_fact_is_not_written_again() -> None:
    talk = Talk(MEMORY, human="The user likes figs.")
    reply = talk.say("I like figs")
    assert not reply.tool_calls
    assert "figs" in reply.text


def test_a_read_only_block_is_not_written_to() -> None:
    talk = Talk(MEMORY)
    talk.system = talk.system.replace('"human" read_only="false"', '"human" read_only="true"')
    call = talk.say("Remember that I like figs")
    assert call.tool_calls[0].name == "archival_memory_insert"


def test_a_full_block_sends_facts_to_the_archive() -> None:
    talk = Talk(MEMORY, human="x" * 90)
    talk.system = talk.system.replace('"human" read_only="false"', '"human" chars_limit="100"')
    call = talk.say("Remember that I like figs")
    assert call.tool_calls[0].name == "archival_memory_insert"


def test_without_memory_tools_it_says_so() -> None:
    assert "no memory tool" in Talk([HEATING]).say("Remember that I like figs").text


def test_forgetting_takes_the_line_out() -> None:
    talk = Talk(MEMORY, human="The user likes figs.\nThe user's phone number is 555.")
    edit = arguments(talk.say("please forget my phone number"))
    assert edit["new_string"] == ""
    assert edit["old_string"].strip() == "The user's phone number is 555."


def test_forgetting_asks_where_several_notes_fit() -> None:
    talk = Talk(MEMORY, human="The user has a cat Tom.\nThe user's cat Kit is grey.")
    reply = talk.say("forget my cat")
    assert not reply.tool_calls
    assert "Tom" in reply.text
    assert "Kit" in reply.text


def test_retrieved_passages_answer() -> None:
    beside = (
        "<retrieved_memory>\nFrom your archival memory; use it if it helps.\n"
        "- [2026-01-01] The gate code is 4471\n</retrieved_memory>\n\nwhat is the gate code?"
    )
    reply = Talk(MEMORY).say(beside)
    assert not reply.tool_calls
    assert "4471" in reply.text


def test_a_block_that_closes_its_own_tag_is_read_whole() -> None:
    reply = Talk(MEMORY, human="Likes <\\/value> tags. Name: Ada.").say("what's my name?")
    assert "Ada" in reply.text


def test_system_events_of_the_loop_are_not_taken_for_messages() -> None:
    talk = Talk([HEATING])
    call = talk.say("set the heating in the hall to 18 degrees")
    (made,) = call.tool_calls
    packed = json.dumps({"status": "OK", "message": "hall is at 18"})
    talk.history.append({"role": "tool", "tool_call_id": made.id, "content": packed})
    reply = talk.say(json.dumps({"type": "heartbeat", "message": "You asked to go on."}))
    assert not reply.tool_calls
    assert "hall is at 18" in reply.text


def test_it_streams_words_and_labels_itself() -> None:
    model = DemoModel()
    pieces = list(
        model.stream(ChatRequest([{"role": "user", "content": "are you an AI?"}]), Cancel())
    )
    texts = [piece.text for piece in pieces if isinstance(piece, TextPiece)]
    reply = pieces[-1]
    assert isinstance(reply, Reply)
    assert len(texts) > 5
    assert "".join(texts) == reply.text
    assert HELP in reply.text
    assert model.label == LABEL
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.cost == 0
    assert reply.first_token is not None


def test_call_pieces_join_to_the_call() -> None:
    request = ChatRequest(
        [{"role": "user", "content": "set the heating in the hall to 18"}], [HEATING]
    )
    pieces = list(DemoModel().stream(request, Cancel()))
    calls = [piece for piece in pieces if isinstance(piece, CallPiece)]
    reply = pieces[-1]
    assert isinstance(reply, Reply)
    (call,) = reply.tool_calls
    assert "".join(piece.arguments for piece in calls) == call.arguments
    assert calls[0].name == call.name
    assert reply.finish_reason == "tool_calls"


def test_cancelling_ends_the_stream() -> None:
    cancel = Cancel()
    stream = DemoModel().stream(ChatRequest([{"role": "user", "content": "who are you?"}]), cancel)
    next(stream)
    cancel.cancel()
    with pytest.raises(ModelError) as caught:
        list(stream)
    assert caught.value.kind == "cancelled"


def test_named_and_required_tools_are_called() -> None:
    named = {"type": "function", "function": {"name": "set_heating"}}
    forced = Talk([*MEMORY, HEATING]).say("hello", tool_choice=named)
    assert set(arguments(forced)) == {"room", "degrees"}
    assert Talk([HEATING]).say("hello", tool_choice="required").tool_calls
    assert (
        not Talk([HEATING]).say("set the heating in the hall to 18", tool_choice="none").tool_calls
    )


def test_heartbeat_style_answers_through_send_message() -> None:
    beat = {"type": "boolean", "description": "Go on after this call."}
    thought = {"type": "string", "description": "Your inner thoughts."}
    send = tool("send_message", "Answer.", {"thinking": thought, "message": TEXT})
    heating = json.loads(json.dumps(HEATING))
    properties = heating["function"]["parameters"]["properties"]
    heating["function"]["parameters"]["properties"] = {
        "thinking": thought,
        **properties,
        "request_heartbeat": beat,
    }
    heating["function"]["parameters"]["required"] = [
        "thinking",
        "room",
        "degrees",
        "request_heartbeat",
    ]
    talk = Talk([send, heating])
    call = talk.say("set the heating in the hall to 18 degrees")
    given = arguments(call)
    assert given.pop("thinking")
    assert given == {"room": "hall", "degrees": 18, "request_heartbeat": True}
    answer = talk.result(call, "hall is at 18")
    assert answer.tool_calls[0].name == "send_message"
    assert "hall is at 18" in arguments(answer)["message"]


def test_a_request_for_a_summary_quotes_the_user() -> None:
    request = ChatRequest(
        [
            {
                "role": "system",
                "content": "You condense a conversation. Write in at most 20 words.",
            },
            {
                "role": "user",
                "content": "user: my name is Ada\nassistant: Noted.\nuser: I like figs",
            },
        ]
    )
    *_, reply = DemoModel().stream(request, Cancel())
    assert isinstance(reply, Reply)
    assert "my name is Ada" in reply.text
    assert len(reply.text.split()) <= 20


def test_a_message_that_is_too_long_to_read_is_said_to_be() -> None:
    told = Talk(MEMORY).say("The quick brown fox, and so on. " * 400)
    assert not told.tool_calls
    assert "characters" in told.text


def test_numbers_keep_every_digit() -> None:
    order = tool(
        "find_order",
        "Find an order.",
        {"order_id": {"type": "integer", "description": "Its number."}},
    )
    call = Talk([order]).say("find order 12345678901234567891")
    assert arguments(call) == {"order_id": 12345678901234567891}


@pytest.mark.parametrize(
    "message",
    [
        "My favourite student is Inês, but don't save that.",
        "My favourite colour is red. Please don't remember that.",
        "My name is Bo, please don't write it down.",
        "Off the record: my name is Bo.",
        "I don't remember that.",
        "I want you to remember that.",
        "Remember this.",
    ],
)
def test_what_is_not_to_be_kept_or_is_nothing_is_not_written(message: str) -> None:
    reply = Talk(MEMORY).say(message)
    assert not reply.tool_calls, reply.tool_calls
    assert reply.text


@pytest.mark.parametrize(
    "message",
    [
        "Always give the platform when I ask about trains.",
        "When I ask about rain, use millimetres.",
        "Ab jetzt bitte auf Deutsch antworten.",
        "Toujours répondre en français.",
    ],
)
def test_a_standing_instruction_goes_into_a_block_of_its_own(message: str) -> None:
    talk = Talk(MEMORY, human="The user's name is Ada.")
    assert arguments(talk.say(message)) == {"label": "instructions", "content": message}
    assert not Talk(MEMORY, instructions=message).say(message).tool_calls


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Hello! Who are you?", "My persona says"),
        ("Which tools do you have?", "set_heating"),
        ("List everything you have in memory.", "The user's daughter Ana is 7."),
        ("What's in your memory?", "The user's daughter Ana is 7."),
        ("How old is Ana?", "The user's daughter Ana is 7."),
    ],
)
def test_what_a_class_asks_first(message: str, said: str) -> None:
    reply = Talk([*MEMORY, HEATING], human="The user's daughter Ana is 7.").say(message)
    assert said in reply.text
    assert not reply.tool_calls
