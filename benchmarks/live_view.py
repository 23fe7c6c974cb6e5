"""The live view of runs in JupyterLab: bytes on the wire, seconds to the screen, a notebook of many runs.

``python benchmarks/live_view.py [--tokens N] [--rounds N] [--runs N] [--json]``: a real letta kernel,
JupyterLab in headless Chromium, and a scripted model over HTTP.

stream    *tokens* tokens, one in 10 ms, shown in a cell: the bytes of the widget's messages to the page (the
          view's own and all that the page's kernel socket received), and the seconds from the moment the
          model's last token had been sent until the page had drawn it.
notebook  *runs* runs, one cell each, in one notebook: seconds for the first and for the last of them, the
          page's JavaScript memory after each, and, scrolling through the whole notebook, the time between two
          frames (95th percentile, longest) and the longest task.

Times on a busy machine say little; the machine's load is printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "browser")]

from browser_chromium import chromium  # noqa: E402
from browser_stage import Stage, call, open_stage, thought, words  # noqa: E402
from playwright.sync_api import Page, expect  # noqa: E402

LAST = "thatwasthelastofthem"
PROSE = """\
The puffins came back to the cliff in April and dug their burrows where the turf is soft; **most** of
them stay until August. Their number is counted from the sea, `by hand`, twice a week.""".split()  # noqa: SIM905

# Notes, by the page's own clock, when a text came on screen: the first frame after it was put there.
WATCH = """text => {
    window.seenAt = null;
    const look = new MutationObserver(() => {
        const all = document.querySelectorAll('.lkw-answer');
        if (all.length && all[all.length - 1].textContent.includes(text)) {
            look.disconnect();
            requestAnimationFrame(() => setTimeout(() => (window.seenAt = Date.now()), 0));
        }
    });
    look.observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
MEMORY = "() => performance.memory.usedJSHeapSize / 1e6"
SCROLL = """async () => {
    const box = document.querySelector('.jp-Notebook .jp-WindowedPanel-outer')
        || document.querySelector('.jp-Notebook');
    const tasks = [];
    const watch = new PerformanceObserver(list => tasks.push(...list.getEntries().map(e => e.duration)));
    watch.observe({ entryTypes: ['longtask'] });
    const gaps = [];
    let before = performance.now();
    box.scrollTop = 0;
    while (box.scrollTop + box.clientHeight < box.scrollHeight - 2 && gaps.length < 2000) {
        box.scrollTop += 120;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        gaps.push(now - before);
        before = now;
    }
    watch.disconnect();
    gaps.sort((a, b) => a - b);
    return {
        frames: gaps.length,
        p95_ms: gaps[Math.floor(gaps.length * 0.95)],
        longest_ms: gaps[gaps.length - 1],
        longest_task_ms: Math.max(0, ...tasks),
    };
}"""


class Wire:
    """Counts what the sockets of a page receive."""

    def __init__(self, page: Page) -> None:
        self.all = 0
        self.view = 0
        session = page.context.new_cdp_session(page)
        session.on("Network.webSocketFrameReceived", self._count)
        session.send("Network.enable")

    def _count(self, event: dict[str, Any]) -> None:
        frame = event["response"]
        data = frame["payloadData"]
        raw = b64decode(data) if frame["opcode"] == 2 else data.encode()
        self.all += len(raw)
        if b'"comm_msg"' in raw and b'"custom"' in raw:
            self.view += len(raw)


def tokens(count: int) -> Iterator[str]:
    """That many words; a paragraph ends after each sixty."""
    for number in range(count - 1):
        yield PROSE[number % len(PROSE)] + ("\n\n" if number % 60 == 59 else " ")
    yield LAST


def stream(stage: Stage, wire: Wire, count: int) -> tuple[int, int, float]:
    """Show one answer; return the view's bytes, all bytes, and seconds from the last token to the screen."""
    sent: list[float] = []
    last = threading.Event()

    def paced() -> Iterator[Any]:
        for text in tokens(count):
            yield 0.01
            if text == LAST:
                sent.append(time.time())
            yield words(text)
        while not last.is_set():  # the run goes on, so that the saved form does not come into it
            yield 0.05

    stage.stream_of(paced())
    stage.page.evaluate(WATCH, LAST)
    before = wire.view, wire.all
    cell = stage.start("%%agent\nTell me about puffins.")
    stage.page.wait_for_function("window.seenAt", timeout=count * 200 + 60_000)
    seen = stage.page.evaluate("window.seenAt") / 1000
    after = wire.view, wire.all
    last.set()
    stage.saved(cell)
    return after[0] - before[0], after[1] - before[1], seen - sent[0]


def many(stage: Stage, count: int) -> dict[str, Any]:
    """Make *count* runs, then scroll through them."""
    seconds, memory = [], []
    for number in range(count):
        stage.stream(
            thought("What do I know of them? " * 8), call("look_up", '{"what": "puffins"}')
        )
        stage.stream(
            *(words(text) for text in list(tokens(150))[:-1]), words(f" The end of {number}.")
        )
        start = time.monotonic()
        cell = stage.start("%%agent\nTell me about puffins.")
        expect(stage.saved(cell)).to_contain_text(f"The end of {number}.")
        seconds.append(time.monotonic() - start)
        memory.append(stage.page.evaluate(MEMORY))
    return {
        "seconds of the first 5 (median)": round(statistics.median(seconds[:5]), 2),
        "seconds of the last 5 (median)": round(statistics.median(seconds[-5:]), 2),
        "page's memory after the first, MB": round(memory[0], 1),
        "page's memory after the last, MB": round(memory[-1], 1),
        "scrolling": {k: round(v, 1) for k, v in stage.page.evaluate(SCROLL).items()},
    }


LOOK_UP = '''
def look_up(what: str) -> str:
    """Look something up.

    Args:
        what: What.
    """
    return f"{what}: " + "a bird of the sea. " * 10
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    expect.set_options(timeout=60_000)
    result: dict[str, Any] = {"load": os.getloadavg()[0], "processors": os.cpu_count()}
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium("--enable-precise-memory-info") as browser,
        open_stage(browser, Path(folder), "bench", LOOK_UP) as stage,
    ):
        stage.model.say("Ready.")
        stage.saved(stage.start("%%agent\nReady?"))  # imports are another story
        wire = Wire(stage.page)
        rounds = [stream(stage, wire, options.tokens) for _ in range(options.rounds)]
        result["stream"] = {
            "view's bytes": [view for view, _, _ in rounds],
            "all bytes": [everything for _, everything, _ in rounds],
            "seconds to the screen": [round(late, 3) for _, _, late in rounds],
        }
        result["notebook"] = many(stage, options.runs)
    result["load at the end"] = os.getloadavg()[0]
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
