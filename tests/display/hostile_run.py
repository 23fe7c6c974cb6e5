"""A run that says one and the same string wherever a run can say something."""

from __future__ import annotations

import json

from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import (
    ApprovalRequested,
    MemoryChanged,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepStarted,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    Usage,
)
from letta_kernel.pictures.picture import Thumbnail


def hostile_run(text: str) -> Transcript:
    """A run with *text* in every field an event has."""
    short = text[:5_000]
    transcript = Transcript(text)
    for event in (
        RunStarted(
            run_id=short,
            agent_id="a",
            agent_name=text,
            model=text,
            model_label=text,
            pictures=[
                Thumbnail(alt=text, src=src) for src in (text, f"data:image/png;base64,{text}")
            ],
        ),
        StepStarted(
            step_id="s", number=1, retrieved=[{"content": text, "id": short, "tags": [text]}]
        ),
        ReasoningDelta(text=text),
        ToolCallDelta(index=0, id="c1", name=text, arguments=text),
        ToolStarted(call_id="c1", name=text, arguments={short: text, "list": [text, {text: text}]}),
        ToolProgress(call_id="c1", text=text),
        ToolProgress(call_id="c1", text=text, stream="progress"),
        MemoryChanged(label=text, before=text, after=f"x\n{text}\ny", version=2, call_id="c1"),
        ToolReturned(
            call_id="c1",
            name=text,
            status="ok",
            text=text,
            seconds=0.1,
            display={
                "text/html": text,
                "image/svg+xml": text,
                "text/markdown": text,
                "text/plain": text,
                text: text,
            },
        ),
        ToolReturned(
            call_id=short,
            name=text,
            status="error",
            text=text,
            seconds=0.1,
            error=text,
            traceback=text,
        ),
        ToolReturned(
            call_id="c3",
            name="table",
            status="ok",
            text=text,
            seconds=1,
            display={"text/html": text},
        ),
        Notice(level="warning", text=text),
        TextDelta(text=text),
        ApprovalRequested(calls=[ToolCall(id="c4", name=text, arguments=json.dumps({"a": short}))]),
        RunEnded(
            run_id="r",
            stop_reason="error",
            error=text,
            steps=1,
            usage=Usage(),
            seconds=1,
            model=text,
        ),
    ):
        transcript.handle(event)
    return transcript
