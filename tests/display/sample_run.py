"""One made-up run that uses everything a transcript can show."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator

from letta_kernel.messages import (
    Event,
    MemoryChanged,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    Usage,
)

MODEL = "openai/gpt-4o-mini"
ANSWER = """Your **three warmest days** are next week. I saved that you live in *Freiburg*.

| day | high | low |
|:----|----:|---:|
| Mon | 24.1 | 12.0 |
| Tue | 25.3 | 13.5 |

```python
def warmest(days: list[Day]) -> Day:
    \"\"\"The warmest of them.\"\"\"
    return max(days, key=lambda d: d.high)  # ties: the first
```

1. Pack light, `24 °C` is expected
2. The mean is $\\bar{x} = \\frac{1}{n}\\sum_i x_i$, so it cost $5 or $10.

> Weather is what you get.

See [the forecast](https://example.org/forecast?a=1&b=2).
"""


def png(width: int = 240, height: int = 90) -> str:
    """A small picture, as base64."""
    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in (x * 255 // width, y * 255 // height, 160))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    ).decode()


def _usage(prompt: int, completion: int, cost: float) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cost=cost)


def events() -> Iterator[Event]:
    """The run, event by event."""
    replace = {
        "label": "human",
        "old_content": "Lives in Basel.",
        "new_content": "Lives in Freiburg.",
    }
    forecast = {
        "city": "Freiburg",
        "days": 7,
        "units": "metric",
        "note": "so long that it is folded",
    }
    yield RunStarted(
        run_id="run-1",
        agent_id="agent-1",
        agent_name="ada",
        model=MODEL,
        model_label="demo model: no language model",
    )
    yield StepStarted(
        step_id="s1",
        number=1,
        retrieved=[{"content": "Mara moved to Freiburg in 2021.", "score": 0.8}],
    )
    for text in ("The user wants ", "the warmest days. ", "First I note where she lives."):
        yield ReasoningDelta(text=text)
    yield ToolCallDelta(
        index=0, id="c1", name="core_memory_replace", arguments='{"label":"human","old_'
    )
    yield ToolCallDelta(index=1, id="c2", name="forecast", arguments='{"city":"Freiburg",')
    yield ToolCallDelta(
        index=0, arguments='content":"Lives in Basel.","new_content":"Lives in Freiburg."}'
    )
    yield ToolCallDelta(
        index=1, arguments='"days":7,"units":"metric","note":"so long that it is folded"}'
    )
    yield ToolStarted(call_id="c1", name="core_memory_replace", arguments=replace, runs_in="core")
    yield MemoryChanged(
        label="human",
        before="Name: Mara\nLives in Basel.\nLikes cycling and tea.",
        after="Name: Mara\nLives in Freiburg.\nLikes cycling and tea.\nHas a dog called Pixel.",
        version=4,
        call_id="c1",
    )
    yield ToolReturned(
        call_id="c1", name="core_memory_replace", status="ok", text="None", seconds=0.012
    )
    yield ToolStarted(call_id="c2", name="forecast", arguments=forecast, runs_in="sandbox")
    yield ToolProgress(call_id="c2", text="fetching 7 days\n")
    yield ToolReturned(
        call_id="c2",
        name="forecast",
        status="ok",
        text='[{"day":"Mon","high":24.1,"low":12.0},{"day":"Tue","high":25.3,"low":13.5}]',
        seconds=1.234,
        display={
            "text/html": "<table><thead><tr><th>day</th><th>high</th></tr></thead>"
            "<tr><td>Mon</td><td>24.1</td></tr><tr><td>Tue</td><td>25.3</td></tr></table>",
            "text/plain": "day high",
        },
    )
    yield StepEnded(
        step_id="s1",
        number=1,
        messages=[],
        usage=_usage(1204, 96, 0.0009),
        seconds=2.1,
        first_token=0.41,
        model=MODEL,
    )
    yield StepStarted(step_id="s2", number=2)
    yield ToolCallDelta(index=0, id="c3", name="plot_days", arguments='{"days": 7}')
    yield ToolStarted(call_id="c3", name="plot_days", arguments={"days": 7})
    yield ToolReturned(
        call_id="c3",
        name="plot_days",
        status="ok",
        text="<Figure>",
        seconds=0.3,
        display={"image/png": png(), "text/plain": "<Figure size 640x480>"},
    )
    yield ToolCallDelta(index=1, id="c4", name="book", arguments='{"hotel": 7}')
    yield ToolStarted(call_id="c4", name="book", arguments={"hotel": 7})
    yield ToolReturned(
        call_id="c4",
        name="book",
        status="error",
        text="ValueError: hotel must be a name",
        seconds=0.003,
        error="ValueError: hotel must be a name",
        traceback="Traceback (most recent call last):\n  line 3, in book\nValueError: hotel must be a name",
    )
    yield Notice(level="warning", text="rate limited, trying again in 3 s", seconds=3)
    yield StepEnded(
        step_id="s2",
        number=2,
        messages=[],
        usage=_usage(1404, 12, 0.0003),
        seconds=0.7,
        model=MODEL,
    )
    yield StepStarted(step_id="s3", number=3)
    for start in range(0, len(ANSWER), 9):
        yield TextDelta(text=ANSWER[start : start + 9])
    yield StepEnded(
        step_id="s3",
        number=3,
        messages=[],
        usage=_usage(1604, 212, 0.0012),
        seconds=1.7,
        model=MODEL,
    )
    yield RunEnded(
        run_id="run-1",
        stop_reason="end_turn",
        steps=3,
        usage=Usage(prompt_tokens=4212, completion_tokens=320, cached_tokens=1024, cost=0.0024),
        seconds=4.52,
        first_token=0.41,
        model=MODEL,
    )
