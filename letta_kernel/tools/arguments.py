"""What a model sends as arguments: read, repaired only where there is no doubt, checked, turned into Python.

Nothing reaches a function unchecked. A mistake becomes one short message that lists every bad field, so that
the model can mend its call at once.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

from letta_kernel.errors import ToolError, nearest
from letta_kernel.tools.callables import namespace_of, parameters_of
from letta_kernel.tools.parameters import MISSING, Parameter
from letta_kernel.tools.references import same, snapshot
from letta_kernel.tools.signature import usable_adapter

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

    from letta_kernel.records import Tool

DEPTH_LIMIT = 100
"""Levels of lists and objects in arguments; deeper ones are refused before they are read."""

_FENCE = re.compile(r"\A```[a-zA-Z]*[ \t]*\n(?P<inside>.*?)\n?[ \t]*```\Z", re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGITS = 300  # of a whole number; longer ones would become infinite where a float is wanted
_SHOWN = 60  # characters of a bad value that are quoted back
_LONGEST = 200  # characters of one field's problem


class ToolArgumentError(ToolError):
    """The arguments of a call cannot be used; one line that lists every bad field."""


class _Checked(typing.NamedTuple):
    """``adapter`` is None for what no model can give."""

    parameter: Parameter
    adapter: TypeAdapter[Any] | None


_signatures: WeakKeyDictionary[Callable[..., Any], tuple[list[Any], dict[str, _Checked]]] = (
    WeakKeyDictionary()
)


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
        checked = checks_of(function)
        if not _hides_another(tool.parameters.get("properties") or (), checked):
            return _apply(tool.name, given, checked, plain=False)
    checked = _from_schema(tool.parameters)
    free: dict[str, Any] = {}
    if tool.parameters.get("additionalProperties", False) is not False:
        # Only schemas from elsewhere allow arguments they do not name.
        free = {name: given.pop(name) for name in list(given) if name not in checked}
    return {**_apply(tool.name, given, checked, plain=True), **free}


def _hides_another(names: Iterable[str], checked: Mapping[str, _Checked]) -> bool:
    """Return whether a function takes any keywords, and these *names* among them that it does not tell.

    So it is with what a decorator put in a function's place without ``functools.wraps``.
    """
    kinds = {one.parameter.kind for one in checked.values()}
    return "options" in kinds and not set(names) <= set(checked)


def check_call(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check and convert JSON values *given* for *function*; as `parse_arguments`, without the text.

    They have been checked by the tool's schema; where the function hides its own, that has to do.

    Raises
    ------
    ToolArgumentError
        One line that lists every bad field.
    """
    checked = checks_of(function)
    if _hides_another(given, checked):
        return dict(given)
    return _apply(name, dict(given), checked, plain=False)


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
    text = raw.strip().removeprefix("\ufeff").strip()
    fence = _FENCE.match(text)
    text = fence["inside"].strip() if fence else text
    if not text:
        return {}
    if _depth(text) > DEPTH_LIMIT:
        raise ToolArgumentError(f"the arguments are nested more than {DEPTH_LIMIT} levels deep")
    try:
        found = _loads(text)
    except json.JSONDecodeError as error:
        mended = _STRING_OR_COMMA.sub(lambda m: "" if m[0] == "," else m[0], text)
        try:
            found = _loads(mended)
        except json.JSONDecodeError:
            at = f"line {error.lineno} column {error.colno}"
            raise ToolArgumentError(
                f"the arguments are not valid JSON ({error.msg} at {at}); send one JSON object"
            ) from None
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
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


def checks_of(function: Callable[..., Any]) -> dict[str, _Checked]:
    """Return how to check each parameter of a live callable, in order.

    Raises
    ------
    ToolArgumentError
        It cannot be called with JSON values at all.
    """
    plain = isinstance(function, FunctionType)
    parts = snapshot(function)[1:]  # without the function itself, which the cache must not keep
    known = _signatures.get(function) if plain else None
    if known is not None and same(known[0], parts):
        return known[1]
    namespace = namespace_of(function)
    try:
        result = {
            one.name: _Checked(one, usable_adapter(one, namespace))
            for one in parameters_of(function)
        }
    except ToolArgumentError:
        raise
    except ToolError as error:
        raise ToolArgumentError(str(error)) from None
    quoted = any(isinstance(one, str) for one in getattr(function, "__annotations__", {}).values())
    if plain and not quoted:  # quoted names may change their meaning
        _signatures[function] = (parts, result)
    return result


def _from_schema(parameters: Mapping[str, Any]) -> dict[str, _Checked]:
    """Return how to check the parameters a JSON schema lists."""
    from pydantic import TypeAdapter

    from letta_kernel.tools.fromschema import allows_null, annotation_of

    required = set(parameters.get("required", ()))
    definitions = parameters.get("$defs", {})
    result: dict[str, _Checked] = {}
    for name, schema in (parameters.get("properties") or {}).items():
        annotation = annotation_of(schema, definitions)
        null = allows_null(schema)
        made = Parameter(name, annotation, required=name in required, nullable=null)
        result[name] = _Checked(made, TypeAdapter(annotation))
    return result


def _apply(
    tool: str, given: dict[str, Any], checked: Mapping[str, _Checked], plain: bool
) -> dict[str, Any]:
    from pydantic import ValidationError

    problems: list[str] = []
    result: dict[str, Any] = {}
    takes = [name for name, (_, one) in checked.items() if one is not None]
    for name, (parameter, one) in checked.items():
        value = MISSING if one is None else given.pop(name, MISSING)
        if value is None and not parameter.nullable and not parameter.required:
            value = MISSING  # null for what may be left out means: left out
        if value is MISSING or one is None:
            if parameter.required:
                problems.append(f"{name!r} is missing")
            elif not plain and parameter.default is not MISSING:
                result[name] = deepcopy(parameter.default)
            continue
        try:
            made = one.validate_json(json.dumps(value))
            result[name] = one.dump_python(made, mode="json") if plain else made
        except ValidationError as error:
            problems += _described(name, value, error)
        except Exception as error:  # a validator of the author's that fails in a way of its own
            problems.append(f"{name!r}: {_short(f'{type(error).__name__}: {error}', _LONGEST)}")
    for name in given:
        near = nearest(name, takes).strip()
        hint = f" ({near[0].lower()}{near[1:]})" if near else ""
        problems.append(f"{_short(name, _SHOWN)!r} is not one of its arguments{hint}")
    if problems:
        listed = ", ".join(takes) or "no arguments"
        raise ToolArgumentError(f"{tool}: {'; '.join(problems)}. It takes: {listed}.")
    return result


def _described(name: str, value: Any, error: ValidationError) -> list[str]:
    """Return one problem for each bad place inside an argument."""
    places: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for one in error.errors(include_url=False):
        path, inside, lost = name, value, False
        for part in one["loc"]:
            # Union members and the like stand in the location too; only real steps into the value count.
            if isinstance(inside, dict) and part in inside:
                path, inside = f"{path}.{part}", inside[part]
            elif isinstance(inside, list) and isinstance(part, int) and part < len(inside):
                path, inside = f"{path}[{part}]", inside[part]
            elif one["type"] == "missing" and part == one["loc"][-1]:
                path, lost = f"{path}.{part}", True
        text = "is missing" if lost else _plain(one["msg"], one["type"])
        if text not in places.setdefault(path, []):
            places[path].append(text)
        if not lost and one["type"] not in ("missing", "extra_forbidden"):
            shown[path] = f" (got {_short(json.dumps(inside, ensure_ascii=False), _SHOWN)})"
    return [
        _short(f"{path!r} {' or '.join(texts)}", _LONGEST) + shown.get(path, "")
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
