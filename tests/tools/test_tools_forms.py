"""Tools as people write them: every form of tool_forms, through every door that makes a tool."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tool_forms import FORMS

from letta_kernel.records import Tool
from letta_kernel.tools.arguments import parse_arguments
from letta_kernel.tools.discovery import discover, found_in
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.live import run_function
from letta_kernel.tools.schema import schema_from_source

forms = pytest.mark.parametrize(
    ("source", "properties", "required", "arguments", "result"),
    [form[1:] for form in FORMS],
    ids=[form[0] for form in FORMS],
)


def run(source: str) -> dict[str, Any]:
    """Run *source* as a module, as a cell would, and return its names."""
    module = ModuleType("tools_forms_source")
    sys.modules[module.__name__] = module
    exec(compile(source, "<cell>", "exec"), module.__dict__)
    return module.__dict__


def check(parameters: dict[str, Any], properties: dict[str, Any], required: list[str]) -> None:
    Draft202012Validator.check_schema(parameters)
    for name, wanted in properties.items():
        told = dict(parameters["properties"][name])
        assert isinstance(told["description"], str)
        if "description" not in wanted:
            assert told.pop("description") == ""
        if wanted == {"type": "object"}:
            told = {"type": told.get("type")}
        assert told == wanted
    assert sorted(parameters["required"]) == sorted(required)


@forms
def test_from_source_alone(
    source: str,
    properties: dict[str, Any],
    required: list[str],
    arguments: dict[str, Any],
    result: str,
) -> None:
    schema = schema_from_source(source)
    check(schema["parameters"], properties, required)
    tool = Tool(**schema, source=source, runs_in="sandbox")
    kwargs = parse_arguments(tool, json.dumps(arguments))
    assert Executor().run(tool, kwargs).text == result


@forms
def test_from_a_cell_that_ran(
    source: str,
    properties: dict[str, Any],
    required: list[str],
    arguments: dict[str, Any],
    result: str,
) -> None:
    names = run(source)
    found = discover(source, names, wanted={"f"})
    made = {one.tool_name: one for one in found.found}
    check(made["f"].schema["parameters"], properties, required)
    tool = made["f"].record()
    function = names[made["f"].name]
    kwargs = parse_arguments(tool, json.dumps(arguments), function)
    assert run_function(function, kwargs).text == result


@pytest.mark.parametrize("form", FORMS, ids=[form[0] for form in FORMS])
def test_from_the_function_itself(form: Any) -> None:
    name, source, properties, required, arguments, result = form
    if "hidden" in name:
        return  # what it hides cannot be told from it; its cell tells
    names = run(source)
    function = names.get("f") or names["g"]
    found = found_in(function, "f", names)
    assert found.tool_name == "f"
    check(found.schema["parameters"], properties, required)
    kwargs = parse_arguments(found.record(), json.dumps(arguments), function)
    assert run_function(function, kwargs).text == result
