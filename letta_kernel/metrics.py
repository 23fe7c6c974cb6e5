"""What this process counts of itself: how much and how long, never what was said, by whom or to whom.

Counting is a dictionary and a lock, whether or not anybody asks; a server tells it all at ``/metrics``, as
Prometheus reads it. Labels have few values: a route's template, not its path; a model's name is the only one
that comes from outside, and of those only the first `MOST_VALUES` are told apart.
"""

from __future__ import annotations

import math
import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Literal

MOST_VALUES = 50
"""Values that a label from outside may have; what comes later is counted as ``other``."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FEW = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0)  # where there are many combinations of labels
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1800.0)
_LONGEST_NAME = 60  # characters of a model's name

_lock = threading.Lock()  # of all families: each is held for less than a microsecond

Sample = tuple[str, Mapping[str, str], float]
Kind = Literal["counter", "gauge", "histogram"]
Gauges = Mapping[str, float | Mapping[str, float]]


class _Family:
    """Samples of one name."""

    def __init__(self, name: str, kind: Kind, about: str, *labels: str) -> None:
        self.name, self.kind, self.about, self.labels = name, kind, about, labels
        FAMILIES[name] = self

    def samples(self) -> Iterator[Sample]:
        """Yield what there is now: a name, its labels, a number."""
        raise NotImplementedError

    def _named(self, values: Sequence[str]) -> dict[str, str]:
        return dict(zip(self.labels, values, strict=True))


FAMILIES: dict[str, _Family] = {}
"""All of them, by name."""


class Counter(_Family):
    """A number that only grows, one for each combination of its labels' values."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, "counter", about, *labels)
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count *amount* more for these values of the labels, in their order."""
        with _lock:
            self._values[values] = self._values.get(values, 0.0) + amount

    def value(self, *values: str) -> float:
        """Return how much was counted."""
        return self._values.get(values, 0.0)

    def samples(self) -> Iterator[Sample]:
        """Yield what there is now."""
        with _lock:
            found = sorted(self._values.items())
        for values, number in found:
            yield self.name, self._named(values), number


class Histogram(_Family):
    """How long something took, in seconds, by upper bounds."""

    def __init__(
        self, name: str, about: str, *labels: str, bounds: Sequence[float] = _SHORT
    ) -> None:
        super().__init__(name, "histogram", about, *labels)
        self._bounds = bounds
        self._values: dict[tuple[str, ...], list[float]] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """Count one that took *seconds*, for these values of the labels."""
        place = bisect_left(self._bounds, seconds)
        with _lock:
            kept = self._values.get(values)
            if kept is None:
                kept = self._values[values] = [0.0] * (len(self._bounds) + 2)
            kept[place] += 1
            kept[-1] += seconds

    def samples(self) -> Iterator[Sample]:
        """Yield what there is now."""
        with _lock:
            found = sorted((values, [*kept]) for values, kept in self._values.items())
        for values, kept in found:
            named, count = self._named(values), 0.0
            for bound, number in zip((*self._bounds, math.inf), kept[:-1], strict=True):
                count += number
                yield f"{self.name}_bucket", {**named, "le": _number(bound)}, count
            yield f"{self.name}_sum", named, kept[-1]
            yield f"{self.name}_count", named, count


class Gauge(_Family):
    """What is so just now: counted up and down, or asked for when it is told."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, "gauge", about, *labels)
        self._value = 0.0

    def add(self, amount: float) -> None:
        """Count up, or down."""
        with _lock:
            self._value += amount

    @property
    def value(self) -> float:
        """How much there is."""
        return self._value

    def samples(self) -> Iterator[Sample]:
        """Yield what there is now."""
        if not self.labels:
            yield self.name, {}, self._value


_models: dict[str, str] = {}


def model_label(name: str) -> str:
    """Return what tells a model from others: without the folders of a file, and one of a bounded number."""
    with _lock:
        known = _models.get(name)
        if known is None:
            provider, _, rest = name.partition("/")
            short = f"{provider}/{PurePath(rest).name}" if rest else provider
            short = "".join(c for c in short if c.isascii() and c.isprintable())[:_LONGEST_NAME]
            few = len(_models) < MOST_VALUES
            known = short if few and "://" not in name else "other"
            if few:
                _models[name] = known
        return known


# -- what is counted ---------------------------------------------------------------------------------

HTTP_REQUESTS = Counter(
    "letta_http_requests_total", "Requests that were answered.", "method", "route", "status"
)
HTTP_SECONDS = Histogram(
    "letta_http_request_seconds", "Time until an answer began.", "method", "route", bounds=_FEW
)
HTTP_GOING = Gauge("letta_http_requests_going", "Requests that are being answered, streams too.")
STREAMS = Gauge("letta_streams_open", "Answers that are streams of events and go on.")
SOCKETS = Gauge("letta_websockets_open", "WebSockets that are open.")
REFUSED = Counter(
    "letta_refused_total", "Connections that were refused before they reached a route.", "status"
)

RUNS_STARTED = Counter("letta_runs_started_total", "Runs that began here.")
RUNS_ENDED = Counter(
    "letta_runs_ended_total", "Runs that ended here, by why they did.", "stop_reason"
)
RUN_SECONDS = Histogram("letta_run_seconds", "How long runs took.", bounds=_LONG)
STEPS = Counter("letta_steps_total", "Steps that were written.")
TOKENS = Counter(
    "letta_tokens_total", "Tokens of models: in, out; cached is part of in.", "direction"
)
COST = Counter("letta_cost_dollars_total", "What models cost, where a price is known.")

MODEL_CALLS = Counter(
    "letta_model_calls_total", "Calls of models by steps, by how they ended.", "model", "outcome"
)
MODEL_SECONDS = Histogram(
    "letta_model_call_seconds", "How long models took to answer a step.", "model", bounds=_LONG
)
MODEL_RETRIES = Counter(
    "letta_model_retries_total", "Tries of model calls after the first one.", "model"
)

TOOL_CALLS = Counter(
    "letta_tool_calls_total",
    "Tool calls, by where they ran (none: nowhere) and how they ended.",
    "kind",
    "outcome",
)
TOOL_SECONDS = Histogram("letta_tool_call_seconds", "How long tools took.", "kind", bounds=_LONG)

STORE_TRANSACTIONS = Counter(
    "letta_store_transactions_total", "Transactions, by how they ended.", "outcome"
)
STORE_SECONDS = Histogram("letta_store_transaction_seconds", "How long transactions took.")
STORE_WAIT = Histogram(
    "letta_store_wait_seconds",
    "How long transactions waited for the store: its file's lock, or a connection.",
)
STORE_RETRIES = Counter(
    "letta_store_retries_total", "Transactions begun again because others changed the same rows."
)


def render(gauges: Gauges | None = None, abouts: Mapping[str, str] | None = None) -> str:
    """Return everything as Prometheus reads it (text format 0.0.4).

    Parameters
    ----------
    gauges : numbers that were asked for just now, by name; or, by name, numbers by the value of the label
        ``of``.
    abouts : what these say.
    """
    lines: list[str] = []
    for family in [*FAMILIES.values()]:
        lines += _told(family.name, family.kind, family.about, family.samples())
    for name, number in (gauges or {}).items():
        found: Iterable[Sample]
        if isinstance(number, Mapping):
            found = [(name, {"of": of}, one) for of, one in number.items()]
        else:
            found = [(name, {}, number)]
        kind: Kind = "counter" if name.endswith("_total") else "gauge"
        lines += _told(name, kind, (abouts or {}).get(name, ""), found)
    return "\n".join([*lines, ""])


def _told(name: str, kind: Kind, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for sample, labels, number in samples:
        inner = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
        yield f"{sample}{{{inner}}} {_number(number)}" if inner else f"{sample} {_number(number)}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _begin_again() -> None:
    """In a forked child: with a lock that nobody holds."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
