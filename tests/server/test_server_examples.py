"""The OpenAPI document: every operation has examples, and they are what its schemas say."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from letta_kernel.server.app import create_app
from letta_kernel.server.examples import FILE
from letta_kernel.service import AgentService

PLAIN = ("string", "integer", "number", "boolean", "null")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with AgentService(tmp_path_factory.mktemp("project")) as service:
        return create_app(service, token="t").openapi()


def shows_something(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether a reader sees an example, or needs none."""
    if not schema or "examples" in schema or schema.get("type") in PLAIN:
        return True
    if reference := schema.get("$ref"):
        return shows_something(schemas[reference.rpartition("/")[2]], schemas)
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return any(shows_something(part, schemas) for part in parts)
    if "items" in schema:
        return shows_something(schema["items"], schemas)
    return "properties" not in schema


def test_every_operation_has_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    without = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = [operation.get("requestBody", {})]
            bodies += [r for code, r in operation["responses"].items() if code.startswith("2")]
            for body in bodies:
                content = body.get("content", {}).get("application/json", {})
                if "example" not in content and not shows_something(
                    content.get("schema", {}), schemas
                ):
                    without.append(f"{method} {path}")
    assert without == []


@pytest.mark.parametrize("name", sorted(json.loads(FILE.read_text(encoding="utf-8"))))
def test_an_example_is_what_its_schema_says(document: dict[str, Any], name: str) -> None:
    [example] = document["components"]["schemas"][name]["examples"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.validate(example, schema)
