"""What a notebook's file keeps of a run: bytes by MIME type, and the lines of a diff after a second run.

``python benchmarks/saved_run.py [--figure] [--json] [--notebook FILE]``: a real letta kernel, scripted
answers, and a run as people have them: thoughts, a change of memory, a tool that prints, tools that give
a table (and, with ``--figure``, a plot), a tool that fails, and an answer with headings, a table and code.
``text`` is what was said, without any markup.

The run is made twice; in the second one the answer has one other word. ``diff`` counts the lines that differ
between the two files, and the longest of them.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "kernel"))

from kernel_notebook import Notebook, Ran

TOOLS = '''
import pandas

def forecast(city: str, days: int) -> pandas.DataFrame:
    """The weather of the next days.

    Args:
        city: Where.
        days: For how many days.
    """
    print(f"asking the weather service about {city}")
    rows = [{"day": f"2026-05-{d:02d}", "high": 14 + d % 7 + 0.25, "low": 6 + d % 5 + 0.5,
             "rain": d % 3 * 1.75, "wind": 9 + d % 4, "sky": ("clear", "fair", "grey")[d % 3]}
            for d in range(1, days + 1)]
    return pandas.DataFrame(rows)

def book(hotel: str, nights: int) -> str:
    """Book a room.

    Args:
        hotel: Its name.
        nights: How many.
    """
    raise ValueError(f"{hotel} has no room for {nights} nights")

def plot(city: str):
    """Draw the temperatures.

    Args:
        city: Where.
    """
    import io, matplotlib.figure
    figure = matplotlib.figure.Figure(figsize=(6, 3))
    figure.subplots().plot([14, 15, 17, 16, 18, 20, 19])
    return figure
'''
SCRIPT = """%%script weather
think: The person asks for the warmest days. I know that she lives in Freiburg since 2021, so I ask for two
  weeks there and look at the table; the sea of data is small enough to read it whole.
call: forecast(city="Freiburg", days=14)
call: core_memory_append(label="human", content="Plans a cycling tour in May. Likes it warm and dry.")

think: Three days stand out. I try to book the hotel she named; if it is full I say so.
call: book(hotel="Hotel am Muensterplatz with a view of the square", nights=3){figure}

say: {answer}
"""
FIGURE = '\ncall: plot(city="Freiburg")'
ANSWER = """## The three warmest days

The **three warmest days** are the 6th, the 13th and the 5th of May; it stays {word} on two of them. The hotel
that you named has no room for three nights, so nothing is booked yet.

| day | high | low | rain |
|:----|-----:|----:|-----:|
| 6 May | 20.25 | 7.5 | 0.0 |
| 13 May | 20.25 | 9.5 | 1.75 |
| 5 May | 19.25 | 6.5 | 3.5 |

### What that means for the tour

1. Start on the 5th in the afternoon, when the rain is over; the first stage along the river is short and has
   shelters every few kilometres.
2. Ride the long stage over the pass on the 6th. It is clear and there is little wind: `9 km/h` from the west.
3. Keep the 13th in reserve. The mean of the highs is $\\\\bar{{x}} = \\\\frac{{1}}{{n}}\\\\sum_i x_i$, over 17.

> Nights are cold: below 10 °C on all of them. Take the warm sleeping bag, and something for the hands.

### How I chose them

```python
def warmest(days: pandas.DataFrame, number: int = 3) -> pandas.DataFrame:
    \\"\\"\\"The warmest days, the dry ones first.\\"\\"\\"
    ordered = days.sort_values(["high", "rain"], ascending=[False, True])
    return ordered.head(number)  # ties: the drier one
```

Two more things are worth a look before you go: [the state of the paths](https://example.org/paths?a=1&b=2),
which changes after storms, and the timetable of the small railway, which takes bicycles only outside of the
commuting hours. If you tell me which hotel you would like instead, I try again; there are *several* near the
station, and two of them have a room where bicycles can be locked up for the night.
"""


def run(home: Path, figure: bool) -> list[Ran]:
    """Return the same run, made twice by a real kernel."""
    notebook = Notebook(home)
    ran = []
    try:
        notebook.run(TOOLS)
        for word in ("dry", "pleasant"):
            answer = ANSWER.format(word=word).replace("\\\\", "\\").replace('\\"', '"')
            said = answer.replace("\n", "\n  ")
            script = SCRIPT.format(answer=said, figure=FIGURE if figure else "")
            assert notebook.run(script).status == "ok"
            notebook.run("%agent new ada --fresh --model scripted/weather")
            ran.append(notebook.run("%%agent ada\nWhich are the three warmest days for my tour?"))
    finally:
        notebook.close()
    return ran


def written(data: dict[str, Any]) -> str:
    """Return a notebook's file with one output."""
    output = nbformat.v4.new_output("display_data", data=data)
    cell = nbformat.v4.new_code_cell("%%agent", outputs=[output], id="cell")
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))


def said(snapshot: dict[str, Any]) -> int:
    """Return how many characters were said in a run, by anybody, without any markup of ours."""
    named = ("text", "name", "result", "output", "error", "after", "before")
    texts = [str(item.get(name) or "") for item in snapshot["items"] for name in named]
    texts += [p["text"] for item in snapshot["items"] for p in item.get("passages", ())]
    texts += [json.dumps(item["arguments"]) for item in snapshot["items"] if "arguments" in item]
    return sum(len(text) for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--figure", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--notebook", type=Path, help="where to write the first run's notebook")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first, second = run(Path(folder), given.figure)
    bundles = [next(b for b in ran.displays if len(b) >= 3) for ran in (first, second)]
    files = [written(data) for data in bundles]
    if given.notebook:
        given.notebook.write_text(files[0], encoding="utf-8")
    differing = [
        line
        for line in difflib.unified_diff(*(text.split("\n") for text in files), n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    empty = len(written({}))
    result = {
        "text": said(first.run),
        "file": len(files[0].encode()) - empty,
        **{
            kind: len(written({kind: value}).encode()) - empty for kind, value in bundles[0].items()
        },
        "diff": {"lines": len(differing), "longest": max(map(len, differing))},
    }
    print(json.dumps(result) if given.json else "\n".join(f"{k:36} {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
