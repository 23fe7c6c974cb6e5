"""Answers of a given form against a scripted model: as a parameter, as a forced call, mended once."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import types
from typing import Annotated, Any, Literal, TypedDict

import pandas
import pytest
from agent_bench import Bench, ended, valid
from pydantic import BaseModel, Field, field_validator

from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import RunEnded, StreamReset, TextDelta
from letta_kernel.tools.answers import AnswerError, last_answer, of_format, of_type

NATIVE = "openai/gpt-5-mini"  # litellm's table says that it takes a schema
FORCED = "openai/scripted"  # of which nothing is known


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int = Field(ge=0)
    email: str | None = None

    @field_validator("name")
    @classmethod
    def _is_written_large(cls, name: str) -> str:
        if name and name[0].islower():
            raise ValueError("names begin with a capital letter")
        return name


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Book(TypedDict):
    title: str
    year: int


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


KIM = {"name": "Kim", "age": 36, "email": None}


def answered(bench: Bench, text: str, as_type: Any, model: str = FORCED, agent: str = "ada") -> Any:
    form = of_type(as_type)
    events = bench.send(agent, text, model=model, form=form)
    assert ended(events).stop_reason == "end_turn", ended(events).error
    return form.read(last_answer(bench.history(agent)) or "")


def test_a_provider_that_can_is_given_the_schema(bench: Bench) -> None:
    bench.server.say(json.dumps(KIM), pieces=6)
    form = of_type(Person)
    events = bench.send("ada", "Who am I?", model=NATIVE, form=form)
    streamed = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert json.loads(streamed) == KIM
    asked = bench.server.requests[0]
    wanted = asked["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("Person", True)
    assert wanted["schema"]["required"] == ["name", "age", "email"]
    assert wanted["schema"]["additionalProperties"] is False
    assert "give_answer" not in {tool["function"]["name"] for tool in asked["tools"]}
    assert form.read(streamed) == Person(**KIM)
    assert [(m.role, m.content) for m in bench.history("ada")][-1] == ("assistant", streamed)


def test_any_other_is_made_to_call_a_tool_whose_arguments_are_the_answer(bench: Bench) -> None:
    bench.server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    bench.server.call("give_answer", KIM)
    form = of_type(Person)
    events = bench.send("ada", "I am Kim, 36.", form=form)
    first, second = bench.server.requests
    assert "response_format" not in first
    assert first["tool_choice"] == second["tool_choice"] == "required"
    offered = {tool["function"]["name"]: tool["function"] for tool in first["tools"]}
    assert offered["give_answer"]["parameters"]["required"] == ["name", "age", "email"]
    assert "core_memory_append" in offered
    assert bench.service.blocks.retrieve("human", agent="ada").value == "Name: Kim"
    # Nobody sees the call: it streams, is kept, shown and sent again as an answer.
    streamed = "".join(e.text for e in events if isinstance(e, TextDelta))
    last = bench.history("ada")[-1]
    assert (last.role, last.content, last.tool_calls) == ("assistant", streamed, [])
    assert form.read(streamed) == Person(**KIM)
    bench.server.say("Yes.")
    bench.send("ada", "Sure?")
    again = bench.server.requests[-1]
    valid(again["messages"])
    assert "give_answer" not in {tool["function"]["name"] for tool in again["tools"]}


@pytest.mark.parametrize("style", ["native", "heartbeat"])
@pytest.mark.parametrize("model", [NATIVE, FORCED])
def test_an_answer_that_does_not_fit_goes_back_once(bench: Bench, model: str, style: str) -> None:
    bench.service.agents.update("ada", style=style)
    bad, good = {"name": "kim", "age": -1}, KIM
    if model == NATIVE:
        bench.server.say(json.dumps(bad))
        bench.server.say(json.dumps(good))
    else:
        bench.server.call("give_answer", bad)
        bench.server.call("give_answer", good)
    assert answered(bench, "Who am I?", Person, model) == Person(**KIM)
    second = bench.server.requests[1]
    told = json.loads(second["messages"][-1]["content"])
    assert told["type"] == "response_format"
    assert "'name' names begin with a capital letter" in told["message"]
    assert "'age' should be greater than or equal to 0" in told["message"]
    if model == FORCED:
        assert second["tool_choice"]["function"]["name"] == "give_answer"
    assert "send_message" not in {tool["function"]["name"] for tool in second["tools"]}
    assert [m.role for m in bench.history("ada")] == ["user", "assistant", "event", "assistant"]


def test_an_answer_that_never_fits_ends_the_run_in_one_line(bench: Bench) -> None:
    bench.server.say("I would rather talk.")
    bench.server.call("give_answer", {"name": "Kim"})
    end = ended(bench.send("ada", "Who am I?", form=of_type(Person)))
    assert end.stop_reason == "invalid_llm_response"
    assert end.error == "The answer is not a valid Person: 'age' is missing."
    assert bench.server.waiting == 0
    bench.server.say("Hello.")
    assert ended(bench.send("ada", "Are you there?")).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("as_type", "said", "value"),
    [
        (Person, KIM, Person(**KIM)),
        (list[Person], {"value": [KIM, KIM]}, [Person(**KIM)] * 2),
        (int, {"value": 3}, 3),
        (int, "3", 3),
        (bool, {"value": False}, False),
        (Literal["yes", "no"], "yes", "yes"),
        (Colour, {"value": "blue"}, Colour.BLUE),
        (datetime.date, {"value": "2024-02-29"}, datetime.date(2024, 2, 29)),
        (dict[str, int], {"value": {"a": 1}}, {"a": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Point, {"x": 1, "y": 2}, Point(1, 2)),
        (list[Point], [{"x": 1, "y": 2}], [Point(1, 2)]),
        (Book, {"title": "Dune", "year": 1965}, {"title": "Dune", "year": 1965}),
        (Person | Point, {"value": {"x": 4, "y": 5}}, Point(4, 5)),
        (int | None, {"value": None}, None),
        (Annotated[int, Field(ge=0)], {"value": 3}, 3),
        (
            Tree,
            {"name": "a", "children": [{"name": "b"}]},
            Tree(name="a", children=[Tree(name="b")]),
        ),
    ],
)
def test_types_of_many_kinds_are_read(as_type: Any, said: Any, value: Any) -> None:
    form = of_type(as_type)
    assert form.format.schema["type"] == "object"
    text = said if isinstance(said, str) else json.dumps(said)
    assert form.read(text) == value
    if text[0] in "{[":
        assert form.read(f"```json\n{text}\n```") == value


def test_a_table_becomes_a_data_frame(bench: Bench) -> None:
    bench.server.call("give_answer", {"columns": ["a", "b"], "rows": [[1, "x"], [2]]})
    bench.server.call("give_answer", {"columns": ["a", "b"], "rows": [[1, "x"], [2, None]]})
    table = answered(bench, "Make a table.", pandas.DataFrame)
    assert list(table.columns) == ["a", "b"]
    assert table["a"].tolist() == [1, 2]
    told = bench.server.requests[1]["messages"][-1]["content"]
    assert "has 1 cells for 2 columns in rows[1]" in told


def test_a_type_that_json_cannot_say_is_refused_and_nothing_is_sent(bench: Bench) -> None:
    for wrong in (lambda: 3, "Person", 5, types.ModuleType):
        with pytest.raises(InvalidInputError, match="An answer cannot be a") as refused:
            bench.send("ada", "Hello", form=of_type(wrong))
        assert "\n" not in str(refused.value)
    assert bench.server.requests == []


def test_a_server_that_refuses_the_schema_is_asked_by_the_tool_and_remembered(bench: Bench) -> None:
    bench.server.fault(400, message="Invalid schema for response_format 'Person': no such thing")
    bench.server.call("give_answer", KIM)
    bench.server.call("give_answer", KIM)
    model = "openai/gpt-5-nano"  # another one, since a refusal is remembered
    assert answered(bench, "Who?", Person, model) == Person(**KIM)
    assert answered(bench, "Who?", Person, model) == Person(**KIM)
    assert ["response_format" in one for one in bench.server.requests] == [True, False, False]


def test_words_before_the_call_are_taken_back(bench: Bench) -> None:
    bench.server.call("give_answer", KIM, text="Here you are: ")
    events = bench.send("ada", "Who am I?", form=of_type(Person))
    kinds = [type(e) for e in events if isinstance(e, TextDelta | StreamReset)]
    assert StreamReset in kinds
    shown = "".join(e.text for e in events[kinds.index(StreamReset) :] if isinstance(e, TextDelta))
    assert "Kim" in shown
    assert json.loads(bench.history("ada")[-1].content) == KIM


def test_a_tool_of_the_answers_name_stays_the_agents_own(bench: Bench) -> None:
    bench.give("ada", 'def give_answer(n: int) -> int:\n    """Give n."""\n    return n')
    bench.server.call("give_answer", {"n": 5})
    bench.server.call("give_answer_", KIM)
    assert answered(bench, "Who am I?", Person) == Person(**KIM)
    assert bench.service.tools.stats("ada")["give_answer"].calls == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"type": "xml"}, "text, json_object or json_schema"),
        ({"type": "json_schema"}, '"schema"'),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}, "of an object"),
    ],
)
def test_a_format_that_is_none_is_refused(bench: Bench, given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        of_format(given)
    with pytest.raises(InvalidInputError, match="response_format"):
        bench.service.agents.update("ada", settings={"response_format": given})
    assert "response_format" not in bench.service.agents.retrieve("ada").settings


def test_a_schema_that_would_take_for_ever_does_not(bench: Bench) -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(2_000):
        deep = {"type": "object", "properties": {"a": deep}}
    wanted: dict[str, Any] = {"name": "deep", "schema": deep}
    with pytest.raises(InvalidInputError, match="100 levels"):
        of_format({"type": "json_schema", "json_schema": wanted})
    wide: dict[str, Any] = {"d9": {"type": "string"}}
    for at in range(9):  # 40 to the power of 9 places
        inner = {f"p{n}": {"$ref": f"#/$defs/d{at + 1}"} for n in range(40)}
        wide[f"d{at}"] = {"type": "object", "properties": inner}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": wide}
    form = of_format({"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}})
    assert form is not None
    answer = {"a": {"p1": {"p2": {}}}}
    bench.server.call("give_answer", answer)
    assert ended(bench.send("ada", "Go.", form=form)).stop_reason == "end_turn"
    assert json.loads(bench.history("ada")[-1].content) == answer


def test_an_agent_may_answer_in_one_form_always(bench: Bench) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    bench.service.agents.update("ada", settings={"response_format": wanted})
    bench.server.call("give_answer", {"n": "many"})
    bench.server.call("give_answer", {"n": 3})
    assert ended(bench.send("ada", "How many?")).stop_reason == "end_turn"
    assert json.loads(bench.history("ada")[-1].content) == {"n": 3}
    # A form asked for in one run goes before it.
    bench.server.call("give_answer", {"value": "yes"})
    assert answered(bench, "Really?", Literal["yes", "no"]) == "yes"
    bench.service.agents.update("ada", settings={"response_format": "json_object"})
    bench.server.say('{"anything": ["goes"]}')
    assert isinstance(bench.send("ada", "Say.", model=NATIVE)[-1], RunEnded)
    sent = bench.server.requests[-1]
    assert sent["response_format"] == {"type": "json_object"}
    assert "JSON" in sent["messages"][0]["content"]


def test_the_demo_model_gives_an_answer_of_a_form(bench: Bench) -> None:
    class Caller(BaseModel):
        name: str
        age: int

    said = "My name is Kim and I am 36 years old."
    assert answered(bench, said, Caller, "demo") == Caller(name="Kim", age=36)


def test_an_error_lists_few_of_many_problems() -> None:
    with pytest.raises(AnswerError, match="and 40 more") as raised:
        of_type(Annotated[list[int], "numbers"]).read(json.dumps(["x"] * 50))
    assert "valid list[int]:" in str(raised.value)
    assert len(str(raised.value)) < 2_000
