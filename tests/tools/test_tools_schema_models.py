"""Classes made of the schema that came with a tool's source, where it is harmless and where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from letta_kernel.tools.arguments import ToolArgumentError
from letta_kernel.tools.schema_models import MOST_MEMBERS, SchemaModels

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def ref(name: str, **more: Any) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}", **more}


def model(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def models(**definitions: Any) -> SchemaModels:
    """Return the classes of *definitions*; each is the type of an argument of its name."""
    return SchemaModels(
        {"properties": {name: ref(name) for name in definitions}, "$defs": definitions}
    )


def test_defaults_are_what_given_values_would_be() -> None:
    found = models(
        Colour={"enum": ["red", "", "mro", "_x_"], "type": "string"},
        Prefs=model(n=NUMBER),
        Car=model(
            colour=ref("Colour", default="red"),
            prefs=ref("Prefs", default={"n": 3}),
            many={"type": "array", "items": ref("Prefs"), "default": [{}]},
            day={"type": "string", "format": "date", "default": "2024-02-29"},
            note={"type": "string", "default": None},
            size={"type": "integer", "minimum": 1, "default": 0},
        ),
    )
    colour, prefs, car = (found.classes[name] for name in ("Colour", "Prefs", "Car"))
    made = found.converted("t", "Car", {})
    assert isinstance(made, car)
    assert made.colour is colour("red")
    assert made.colour == "red"
    assert (made.prefs, made.many) == (prefs(n=3), [prefs(n=None)])
    assert (made.day.year, made.note, made.size) == (2024, None, 0)
    assert made.prefs is not found.converted("t", "Car", {}).prefs
    assert [one.value for one in colour] == ["red", "", "mro", "_x_"]


@pytest.mark.parametrize(
    "given",
    [
        {"_id": TEXT},
        {"__base__": TEXT, "__class__": TEXT},
        {"model_config": NUMBER},
        {"model_validate": NUMBER},
        {"a-b": NUMBER, "class": NUMBER},
        {"wrong": 3},
    ],
    ids=lambda given: "+".join(given),
)
def test_what_no_class_can_hold_stays_a_dictionary_also_inside_others(given: Any) -> None:
    found = models(Odd=model(**given), Holder=model(odd=ref("Odd"), n=NUMBER))
    assert list(found.classes) == ["Holder"]
    assert found.names["Odd"] is Any
    value = dict.fromkeys(given, 1) if NUMBER in given.values() else dict.fromkeys(given, "x")
    assert found.converted("t", "Odd", value) == value
    assert found.converted("t", "Holder", {"odd": value}).odd == value


def test_hostile_schemas_make_what_they_can_and_break_nothing() -> None:
    deep: dict[str, Any] = model(x=NUMBER)
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    names: dict[str, Any] = dict.fromkeys(
        ["__class__", "list", "Item-Input", "def"], model(a=NUMBER)
    )
    found = models(
        **names,
        Loop=ref("Loop"),
        Round=ref("About"),
        About=ref("Round"),
        Node=model(left=ref("Node", default={}), right=ref("Node", default={})),
        Deep=model(x=deep),
        Same={"enum": [1, True]},
        Empty={"enum": []},
        Huge={"enum": list(range(MOST_MEMBERS + 1))},
        Joined={"properties": {"a": NUMBER}, "allOf": [ref("Node")]},
        Wrong={"properties": {"a": NUMBER}, "required": 3},
        Never=3,
    )
    assert list(found.classes) == ["Node"]
    assert not found.names.keys() & names.keys()
    for name in {*found.names, *names} - {"Node"}:
        assert found.converted("t", name, {"a": 1}) == {"a": 1}
    node = found.converted("t", "Node", {"left": {}})
    assert {type(node.left), type(node.right)} == {found.classes["Node"]}
    for broken in (None, {"properties": 3, "$defs": []}, {"properties": {"a": 3}, "$defs": {}}):
        assert SchemaModels(broken).converted("t", "a", 5) == 5


def test_a_wrong_argument_is_an_error_of_the_argument() -> None:
    found = models(Line=model(start=ref("Point")), Point={**model(x=NUMBER), "required": ["x"]})
    with pytest.raises(ToolArgumentError, match=r"^t: 'Line\.start\.x' is missing\.$"):
        found.converted("t", "Line", {"start": {}})
