"""Answers of a given form: what a type or a JSON schema asks of the model, and the value that comes back.

A type whose JSON is no object of known fields (a list, a number, a choice of models) is asked for as the one
field ``value`` of an object: no provider takes anything but an object.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin

from letta_kernel.errors import InvalidInputError, LettaError, ToolError
from letta_kernel.messages import Message
from letta_kernel.models.base import ResponseFormat
from letta_kernel.tools import jsonschema
from letta_kernel.tools.arguments import DEPTH_LIMIT, ToolArgumentError, described, read_value
from letta_kernel.tools.inputs import modern

VALUE = "value"
"""The field that holds what is no object itself."""
LARGEST = 100_000  # characters of a schema
_PROBLEMS = 10  # that are told of one answer
_UNNAMED = re.compile(r"[^A-Za-z0-9_-]+")
_FRAMES = ("pandas", "polars")


class AnswerError(LettaError):
    """An answer has not the form that was asked for; one line that lists what is wrong with it."""

    page = "answer-form"


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """A form of answers; `of_type` and `of_format` make one.

    Attributes
    ----------
    format : what the model is asked for.
    shown : what people call it: ``Person``, ``list[Person]``.
    """

    format: ResponseFormat
    shown: str
    _check: Callable[[str], Any]  # a value as JSON to what it stands for
    _wrapped: bool = False
    _made: Callable[[Any], Any] = lambda value: value

    @property
    def at_once(self) -> ResponseFormat:
        """The same, of an answer before which nothing else may come."""
        return replace(self.format, now=True)

    def read(self, text: str) -> Any:
        """Return the value that the answer *text* stands for.

        Raises
        ------
        AnswerError
            It stands for none.
        """
        from pydantic import ValidationError

        given: Any = None
        try:
            given = self._given(text)
            return self._made(self._check(json.dumps(given)))
        except ToolArgumentError as error:
            said = str(error)
        except ValidationError as error:
            problems = described(given, error)
            more = len(problems) - _PROBLEMS
            said = "; ".join(problems[:_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        except Exception as error:  # of a validator of the author's, or of a table
            said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        raise AnswerError(f"The answer is not a valid {self.shown}: {said.rstrip('.')}.")

    def problem(self, text: str) -> str:
        """Return what is wrong with the answer *text*, in one line; empty if nothing is."""
        try:
            self.read(text)
        except AnswerError as error:
            return error.text
        return ""

    def _given(self, text: str) -> Any:
        try:
            found = read_value(text, "it is")
        except ToolArgumentError:
            if not self._wrapped or "{" in text or "[" in text:
                raise
            return text.strip()  # a bare word, of several that it may be
        if self._wrapped and isinstance(found, dict) and found.keys() == {VALUE}:
            return found[VALUE]
        return found


def of_type(as_type: Any) -> AnswerForm:
    """Return the form of answers that are values of a Python type.

    Parameters
    ----------
    as_type : a pydantic model, dataclass or TypedDict, ``int``, ``list[Model]``, ``Literal["a", "b"]``, or
        whatever else pydantic reads from JSON; a DataFrame of pandas or polars.

    Raises
    ------
    InvalidInputError
        It cannot be written as JSON.
    """
    from pydantic import TypeAdapter

    if _is_frame(as_type):
        return _of_frame(as_type)
    shown = _shown(as_type)
    try:
        if inspect.isroutine(as_type):  # its arguments would be what is asked for
            raise TypeError("it is a function")
        adapter: TypeAdapter[Any] = TypeAdapter(modern(as_type, {}))
        schema = adapter.json_schema()
    except Exception as error:
        why = re.split(r"[.;]\s", str(error).strip(), maxsplit=1)[0][:200]
        raise InvalidInputError(
            f"An answer cannot be a {shown} ({why}): name a pydantic model, a dataclass, a TypedDict, a "
            "DataFrame, or a type such as int or list[str]."
        ) from None
    return _form(shown, schema, adapter.validate_json)


def of_format(given: Mapping[str, Any] | None) -> AnswerForm | None:
    """Return the form that a ``response_format`` of Letta and OpenAI stands for; None for plain text.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    kind = (given or {"type": "text"}).get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerForm(ResponseFormat("answer", {"type": "object"}), "JSON object", _object)
    if kind != "json_schema":
        raise InvalidInputError("A response_format is of type text, json_object or json_schema.")
    wanted = (given or {}).get("json_schema")
    schema = wanted.get("schema") if isinstance(wanted, Mapping) else None
    if not isinstance(wanted, Mapping) or not isinstance(schema, dict):
        raise InvalidInputError(
            'A response_format of type json_schema has {"json_schema": {"name": …, "schema": {…}}}.'
        )
    if schema.get("type") != "object" or _is_too_much(schema):
        raise InvalidInputError(
            f"The schema of a response_format is of an object, in at most {LARGEST:,} characters and "
            f"{DEPTH_LIMIT} levels."
        )
    name = str(wanted.get("name") or schema.get("title") or "answer")
    strict = wanted.get("strict") is True
    asked = ResponseFormat(_name(name), schema, strict)
    return AnswerForm(asked, _UNNAMED.sub(" ", name)[:64], _checked_by(schema))


def last_answer(messages: Sequence[Message]) -> str | None:
    """Return what an agent said last, among *messages* of one run; None if nothing."""
    return next((one.said for one in reversed(messages) if one.role == "assistant"), None)


def _form(
    shown: str,
    schema: dict[str, Any],
    check: Callable[[str], Any],
    made: Callable[[Any], Any] = lambda value: value,
) -> AnswerForm:
    """Return the form for a type's schema, closed where it can be."""
    definitions = {
        name: jsonschema.without_titles(one) for name, one in schema.get("$defs", {}).items()
    }
    about = schema.get("description")
    root = {key: value for key, value in schema.items() if key != "$defs"}
    whole, recursive = jsonschema.inlined(jsonschema.without_titles(root), definitions)
    wrapped = whole.get("type") != "object" or not whole.get("properties")
    if wrapped:
        whole = {"type": "object", "properties": {VALUE: whole}, "required": [VALUE]}
        whole["additionalProperties"] = False
    elif about:
        whole["description"] = about
    try:
        strict = True
        sent = jsonschema.strict(whole, shown)
        kept = {name: jsonschema.strict(one, shown) for name, one in recursive.items()}
    except ToolError:
        strict = False
        sent = jsonschema.loose(whole)
        kept = {name: jsonschema.loose(one) for name, one in recursive.items()}
    if kept:
        sent["$defs"] = kept
    return AnswerForm(ResponseFormat(_name(shown), sent, strict), shown, check, wrapped, made)


def _name(shown: str) -> str:
    return _UNNAMED.sub("_", shown).strip("_")[:64] or "answer"


def _shown(as_type: Any) -> str:
    """Return what people call a type."""
    if get_origin(as_type) is Annotated:
        as_type = get_args(as_type)[0]
    plain = isinstance(as_type, type) and not get_args(as_type)
    name = as_type.__name__ if plain else re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(as_type))
    return name[:80]


def _is_too_much(schema: Any) -> bool:
    """Return whether a schema is too deep or too large to be worked with."""
    waiting = [(schema, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEPTH_LIMIT:
            return True
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(one, depth + 1) for one in inside]
    return len(json.dumps(schema, default=str)) > LARGEST


def _object(text: str) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, Any]).validate_json(text)


def _checked_by(schema: dict[str, Any]) -> Callable[[str], Any]:
    """Return what checks JSON by a schema from elsewhere, and returns it as it is."""
    from pydantic import TypeAdapter

    from letta_kernel.tools.jsonschema import annotation_of

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation_of(schema, schema.get("$defs", {})))
    except Exception as error:
        why = str(error).strip().partition("\n")[0][:200].rstrip(".")
        raise InvalidInputError(f"The schema of the response_format cannot be: {why}.") from None

    def check(text: str) -> Any:
        adapter.validate_json(text)  # which refuses what is nested too deeply
        return json.loads(text)

    return check


# -- tables --------------------------------------------------------------------------------------------


def _is_frame(as_type: Any) -> bool:
    where = str(getattr(as_type, "__module__", "")).partition(".")[0]
    return getattr(as_type, "__name__", "") == "DataFrame" and where in _FRAMES


def _of_frame(frame: Any) -> AnswerForm:
    """Return the form of a table: names of columns, and rows of as many cells."""
    from pydantic import BaseModel, Field, TypeAdapter, model_validator

    class Table(BaseModel):
        columns: list[str] = Field(description="The names of the columns, each once.")
        rows: list[list[str | int | float | bool | None]] = Field(
            description="The rows; each has a cell for every column, in their order."
        )

        @model_validator(mode="after")
        def _is_one(self) -> Table:
            if not self.columns or len(set(self.columns)) < len(self.columns):
                raise ValueError("needs a name for each column, and no name twice")
            for number, row in enumerate(self.rows):
                if len(row) != len(self.columns):
                    raise ValueError(
                        f"has {len(row)} cells for {len(self.columns)} columns in rows[{number}]"
                    )
            return self

    adapter = TypeAdapter(Table)

    def made(table: Table) -> Any:
        if frame.__module__.startswith("polars"):
            return frame(table.rows, schema=table.columns, orient="row")
        return frame(table.rows, columns=table.columns)

    return _form("DataFrame", adapter.json_schema(), adapter.validate_json, made)
