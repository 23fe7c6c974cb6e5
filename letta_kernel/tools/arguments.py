"""What a model sends as arguments: read, repaired only where there is no doubt, checked, turned into Python.

Nothing reaches a function unchecked. A mistake becomes one short message that lists every bad field, so that
the model can mend its call at once.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from letta_kernel.errors import ToolError, nearest
from letta_kernel.tools.callables import inputs_of
from letta_kernel.tools.inputs import Inputs
from letta_kernel.tools.parameters import MISSING, OPTIONS, Parameter

if TYPE_CHECKING:
    from pydantic import ValidationError

    from letta_kernel.records import Tool

DEPTH_LIMIT = 100
"""Levels of lists and objects in arguments; deeper ones are refused before they are read."""

_FENCE = re.compile(r"\A```[a-zA-Z]*[ \t]*\n(?P<inside>.*)```\Z", re.DOTALL)
# One that never ends goes on to the end: looked for from each quote again it would take time by the square.
_STRING_OR_COMMA = re.compile(r'"(?:\\.|[^"\\])*+"?|,(?=\s*[}\]])', re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\])*+"?', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGITS = 300  # of a whole number; longer ones would become infinite where a float is wanted
_SHOWN = 60  # characters of a bad value that are quoted back
_LONGEST = 200  # characters of one field's problem


class ToolArgumentError(ToolError):
    """The arguments of a call cannot be used; one line that lists every bad field."""

    page = "tool-arguments"


def parse_arguments(
    tool: Tool, raw: str, function: Callable[..., Any] | None = None
) -> dict[str, Any]:
    """Return the keyword arguments for a call of *tool*, checked and converted.

    Parameters
    ----------
    tool
        The tool that is called; its ``parameters`` say what it takes.
    raw
        The JSON text as the model sent it; empty means no arguments.
    function
        The live function, if it runs in this process: a parameter that is a model or a date arrives as one.
        Without it the arguments stay JSON values (in their proper form) and are converted where it runs.

    Raises
    ------
    ToolArgumentError
        One line that lists every bad field.
    """
    try:
        given = read_object(raw)
    except ToolArgumentError as error:
        raise ToolArgumentError(f"{tool.name}: {error}") from None
    if function is not None:
        inputs = _inputs_of(function)
        if not _hides_another(tool.parameters.get("properties") or (), inputs):
            return _checked(tool.name, given, inputs, plain=False)
    inputs = _from_schema(json.dumps(tool.parameters))
    free: dict[str, Any] = {}
    if tool.parameters.get("additionalProperties", False) is not False:
        # Only schemas from elsewhere allow arguments they do not name.
        known = {one.name for one in inputs.parameters}
        free = {name: given.pop(name) for name in list(given) if name not in known}
    return {**_checked(tool.name, given, inputs, plain=True), **free}


def check_call(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check and convert JSON values *given* for *function*; as `parse_arguments`, without the text.

    They have been checked by the tool's schema; where the function hides its own, that has to do.

    Raises
    ------
    ToolArgumentError
        One line that lists every bad field.
    """
    inputs = _inputs_of(function)
    if _hides_another(given, inputs):
        return dict(given)
    return _checked(name, dict(given), inputs, plain=False)


def _inputs_of(function: Callable[..., Any]) -> Inputs:
    try:
        return inputs_of(function)
    except ToolError as error:
        raise ToolArgumentError(str(error)) from None


def _hides_another(names: Iterable[str], inputs: Inputs) -> bool:
    """Return whether a function takes any keywords, and these *names* among them that it does not tell.

    So it is with what a decorator put in a function's place without ``functools.wraps``.
    """
    known = {one.name: one.kind for one in inputs.parameters}
    return OPTIONS in known.values() and not set(names) <= set(known)


def read_object(raw: str) -> dict[str, Any]:
    """Read the JSON object a model sent.

    Mended, since there is only one way to read it: a code fence around it, a comma before a closing
    bracket, line breaks inside strings, an object that was quoted as a string once more or is alone in a
    list, null for no arguments. Everything else that is not JSON is refused, above all what was cut off in
    the middle.

    Raises
    ------
    ToolArgumentError
        One line that says where the text stops being JSON.
    """
    found = read_value(raw, "the arguments are")
    if found is None or found in ("", []):  # of a tool without parameters
        return {}
    if isinstance(found, str) and (found.strip() == "null" or found.strip()[:1] in ("{", "[", '"')):
        return read_object(found)
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        return found[0]
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(
            type(found), "a single value"
        )
        raise ToolArgumentError(f"the arguments must be one JSON object, not {kind}")
    return found


def read_value(raw: str, what: str) -> Any:
    """Read the JSON that a model wrote, mended as `read_object` says; nothing is None.

    Raises
    ------
    ToolArgumentError
        One line, begun with *what*, that says where it stops being JSON.
    """
    text = raw.strip().removeprefix("\ufeff").strip()
    fence = _FENCE.match(text)
    text = fence["inside"].strip() if fence else text
    if not text:
        return None
    if _depth(text) > DEPTH_LIMIT:
        raise ToolArgumentError(f"{what} nested more than {DEPTH_LIMIT} levels deep")
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        mended = _STRING_OR_COMMA.sub(lambda m: "" if m[0] == "," else m[0], text)
        try:
            return _loads(mended)
        except json.JSONDecodeError:
            at = f"line {error.lineno} column {error.colno}"
            raise ToolArgumentError(
                f"{what} not valid JSON ({error.msg} at {at}); send one JSON object"
            ) from None


def as_object(raw: str) -> str:
    """Return the text of the JSON object a model sent: as it came if it is one, else as it can be read.

    Raises
    ------
    ToolArgumentError
        As `read_object` does.
    """
    try:
        if isinstance(json.loads(raw), dict):
            return raw
    except (ValueError, RecursionError):
        pass
    return json.dumps(read_object(raw), ensure_ascii=False)


def _loads(text: str) -> Any:
    found = json.loads(
        text,
        strict=False,  # line breaks inside strings have one meaning only
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_whole,
        object_pairs_hook=_unique,
    )
    return (
        _without_surrogates(found) if "\\ud" in text.lower() or _SURROGATE.search(text) else found
    )


def _refuse_constant(word: str) -> NoReturn:
    raise ToolArgumentError(f"{word} is not a JSON number; leave the field out or send null")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ToolArgumentError(f"the number {text[:_SHOWN]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ToolArgumentError(f"a number of {len(text):,} digits is too large")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ToolArgumentError(f"the field {twice!r} is given twice")
    return found


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return 0
    deepest = level = 0
    for mark in _STRING.sub("", text):
        if mark in "[{":
            level += 1
            deepest = max(deepest, level)
        elif mark in "]}":
            level -= 1
    return deepest


@lru_cache(256)
def _from_schema(text: str) -> Inputs:
    """Return what a tool takes whose parameters only a JSON schema tells, given as *text*."""
    from pydantic import TypeAdapter, ValidationError

    from letta_kernel.tools.jsonschema import annotation_of

    parameters = json.loads(text)
    required, definitions = set(parameters.get("required", ())), parameters.get("$defs", {})
    found = []
    for name, schema in (parameters.get("properties") or {}).items():
        one = Parameter(name, annotation_of(schema, definitions), required=name in required)
        with contextlib.suppress(ValidationError):
            TypeAdapter(one.annotation).validate_json("null")
            one.nullable = True
        found.append(one)
    return Inputs(found)


def _checked(tool: str, given: dict[str, Any], inputs: Inputs, plain: bool) -> dict[str, Any]:
    """Return *given* checked and converted, what was left out filled in; *plain*: as JSON values still."""
    from pydantic import ValidationError

    for one in inputs.usable:
        if not one.nullable and not one.required and given.get(one.name, MISSING) is None:
            del given[one.name]  # null for what may be left out means: left out
    takes = [one.name for one in inputs.usable]
    problems: list[str] = []
    try:
        made = inputs.model.model_validate_json(json.dumps(given))
    except ValidationError as error:
        problems += described(given, error)
    except Exception as error:  # a validator of the author's that fails in a way of its own
        where = _failing(given, inputs)
        problems.append(f"{where!r}: {_short(f'{type(error).__name__}: {error}', _LONGEST)}")
    for name in given:
        if name not in takes:
            near = nearest(name, takes).strip()
            hint = f" ({near[0].lower()}{near[1:]})" if near else ""
            problems.append(f"{_short(name, _SHOWN)!r} is not one of its arguments{hint}")
    if not problems:
        if plain:
            return made.model_dump(mode="json", by_alias=True, exclude_unset=True)
        fields = type(made).model_fields.items()
        found = {
            two.alias: getattr(made, key) for key, two in fields if key in made.model_fields_set
        }
        return {
            one.name: found[one.name] if one.name in found else deepcopy(one.default)
            for one in inputs.parameters
            if one.name in found or one.default is not MISSING
        }
    listed = ", ".join(takes) or "no arguments"
    raise ToolArgumentError(f"{tool}: {'; '.join(problems)}. It takes: {listed}.")


def _failing(given: dict[str, Any], inputs: Inputs) -> str:
    """Return the argument with which the check itself fails."""
    from pydantic import ValidationError

    for name, value in given.items():
        try:
            inputs.model.model_validate_json(json.dumps({name: value}))
        except ValidationError:
            pass
        except Exception:
            return name
    return ", ".join(given)


def described(given: Any, error: ValidationError) -> list[str]:
    """Return one problem for each bad place in *given*, JSON that a check has refused."""
    places: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for one in error.errors(include_url=False):
        path, inside, lost = "", given, one["type"] == "missing"
        for part in one["loc"]:
            # Union members and the like stand in the location too; only real steps into the value count.
            if isinstance(inside, dict) and part in inside:
                path, inside = f"{path}.{part}" if path else str(part), inside[part]
            elif isinstance(inside, list) and isinstance(part, int) and part < len(inside):
                path, inside = f"{path}[{part}]", inside[part]
            elif lost and part == one["loc"][-1]:
                path = f"{path}.{part}" if path else str(part)
        text = _plain(one["msg"], one["type"])
        if text not in places.setdefault(path, []):
            places[path].append(text)
        if one["type"] not in ("missing", "extra_forbidden"):
            shown[path] = f" (got {_short(json.dumps(inside, ensure_ascii=False), _SHOWN)})"
    return [
        _short(f"{repr(path) if path else 'it'} {' or '.join(texts)}", _LONGEST)
        + shown.get(path, "")
        for path, texts in places.items()
    ]


def _plain(message: str, kind: str) -> str:
    if kind == "extra_forbidden":
        return "is not a field of it"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Input ").removeprefix("Value error, ").replace("\n", " ")


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
