"""Examples for the OpenAPI document: requests and answers of this server, by the name of their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

FILE = Path(__file__).with_name("examples.json")


def add_to(app: FastAPI) -> None:
    """Let the document of *app* show the examples; it is made when first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = plain()["components"]["schemas"]
            for name, example in json.loads(FILE.read_text(encoding="utf-8")).items():
                schemas[name]["examples"] = [example]
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
