"""Measures the demo model: right tool, and right tool with right arguments and answer.

    python benchmarks/demo_model.py                 # the unseen prompts: totals only
    python benchmarks/demo_model.py --set tuning    # the tuning prompts, with each failure shown
    python benchmarks/demo_model.py --json

Every prompt goes through the real ``DemoModel.stream`` in a small loop that executes memory edits on the
prompt's blocks and answers other calls with canned results (see demo_prompts/README.md).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from letta_kernel.errors import LettaError
from letta_kernel.memory import edits
from letta_kernel.models.base import Cancel, ChatRequest, Reply
from letta_kernel.models.demo.model import DemoModel

PROMPTS = Path(__file__).parent / "demo_prompts"
MOST_STEPS = 8
EDITS = {
    "core_memory_append",
    "core_memory_replace",
    "memory_insert",
    "memory_replace",
    "memory_rethink",
}
SEARCHES = {"archival": {"archival_memory_search"}, "conversation": {"conversation_search"}}
PERSONA = "I am a helpful assistant."


@dataclass
class Score:
    """How a set of prompts went; times are milliseconds per model call."""

    prompts: int = 0
    right_tool: int = 0
    right_arguments: int = 0  # right tool, right arguments and right answer
    milliseconds_median: float = 0.0
    milliseconds_worst: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def right_tool_percent(self) -> int:
        return int(100 * self.right_tool / self.prompts)

    @property
    def right_arguments_percent(self) -> int:
        return int(100 * self.right_arguments / self.prompts)


@dataclass
class Trial:
    """What the model did with one prompt."""

    calls: list[tuple[str, dict[str, Any]]]
    blocks: dict[str, str]
    answer: str
    ended: bool


def load(which: str) -> list[dict[str, Any]]:
    """Return the prompts of a set: ``tuning`` or ``unseen``."""
    prompts: list[dict[str, Any]] = json.loads((PROMPTS / f"{which}.json").read_text("utf-8"))
    return prompts


def measure(which: str, model: DemoModel | None = None) -> Score:
    """Run a set through the model and score it."""
    model = model or DemoModel()
    groups = json.loads((PROMPTS / "tools.json").read_text("utf-8"))
    tools = {tool["name"]: tool for group in groups.values() for tool in group}
    core = [tool["name"] for tool in groups["core"]]
    score = Score()
    times: list[float] = []
    attempt(load(which)[0], tools, core, model, [])  # the first call loads the vectors
    for prompt in load(which):
        trial = attempt(prompt, tools, core, model, times)
        wrong_tool = judge_tools(prompt, trial)
        wrong = wrong_tool or judge_arguments(prompt, trial, tools)
        score.prompts += 1
        score.right_tool += not wrong_tool
        score.right_arguments += not wrong
        if wrong:
            calls = "; ".join(f"{n}({json.dumps(a, ensure_ascii=False)})" for n, a in trial.calls)
            score.failures.append(
                f"{prompt['id']} {prompt['message']!r}\n    {wrong}\n    calls: {calls or 'none'}"
                f"\n    says: {trial.answer!r}"
            )
    score.milliseconds_median = round(statistics.median(times), 2)
    score.milliseconds_worst = round(max(times), 2)
    return score


def attempt(
    prompt: dict[str, Any],
    tools: dict[str, Any],
    core: list[str],
    model: DemoModel,
    times: list[float],
) -> Trial:
    """Send the prompt's messages one after the other and return what was done with the last."""
    blocks = {"persona": PERSONA, "human": "", **prompt.get("blocks", {})}
    offered = [
        {"type": "function", "function": tools[name]}
        for name in (core if prompt.get("core", True) else []) + prompt["tools"]
    ]
    history: list[dict[str, Any]] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    answer, ended = "", False
    for message in [*prompt.get("before", []), prompt["message"]]:
        if not prompt.get("whole"):
            calls = []
        system = {"role": "system", "content": compile_system(blocks)}
        history.append({"role": "user", "content": message})
        ended = False
        for _ in range(MOST_STEPS):
            started = time.perf_counter()
            *_, reply = model.stream(ChatRequest([system, *history], offered), Cancel())
            times.append((time.perf_counter() - started) * 1000)
            assert isinstance(reply, Reply)
            history.append(as_message(reply))
            if not reply.tool_calls:
                answer, ended = reply.text, True
                break
            for call in reply.tool_calls:
                arguments = json.loads(call.arguments)
                calls.append((call.name, arguments))
                status, text = execute(call.name, arguments, blocks, prompt.get("results", {}))
                packed = json.dumps(
                    {"status": status, "message": text, "time": "2026-01-01T00:00:00"}
                )
                history.append({"role": "tool", "tool_call_id": call.id, "content": packed})
    return Trial(calls, blocks, answer, ended)


def compile_system(blocks: dict[str, str]) -> str:
    """Return a system prompt with these memory blocks."""
    sections = "\n".join(
        f'<block label="{label}" read_only="false" chars_current="{len(value)}" chars_limit="20000">\n'
        f"<description></description>\n<value>\n{value}\n</value>\n</block>"
        for label, value in blocks.items()
    )
    return f"You are a helpful agent.\n\n<memory_blocks>\n{sections}\n</memory_blocks>"


def as_message(reply: Reply) -> dict[str, Any]:
    """Return a reply as the assistant message the next request carries."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in reply.tool_calls
        ]
    return message


def execute(
    name: str, arguments: dict[str, Any], blocks: dict[str, str], results: dict[str, Any]
) -> tuple[str, str]:
    """Return status and text of a call; memory edits change *blocks*."""
    if name in EDITS:
        try:
            blocks[arguments["label"]] = edit(name, arguments, blocks[arguments["label"]])
        except (LettaError, KeyError) as error:
            return "Failed", str(error)
        return "OK", "The core memory block has been edited."
    result = results.get(name, "OK")
    if isinstance(result, dict):
        return "Failed", result["error"]
    return "OK", result


def edit(name: str, arguments: dict[str, Any], value: str) -> str:
    """Return *value* after a core memory edit."""
    match name:
        case "core_memory_append":
            return edits.append(value, arguments["content"])
        case "core_memory_replace":
            return edits.replace_all(value, arguments["old_content"], arguments["new_content"])
        case "memory_replace":
            return edits.replace_once(value, arguments["old_string"], arguments["new_string"])
        case "memory_insert":
            return edits.insert(value, arguments["new_string"], arguments.get("insert_line", -1))
        case _:
            return str(arguments["new_memory"])


def judge_tools(prompt: dict[str, Any], trial: Trial) -> str:
    """Return what is wrong with the choice of tools, or an empty string."""
    wanted = [right_tools(expected) for expected in prompt["calls"]]
    names = [name for name, _ in trial.calls]
    if not trial.ended:
        return "it did not end its turn"
    if len(names) != len(wanted) or any(n not in w for n, w in zip(names, wanted, strict=True)):
        return f"wanted {[sorted(w) for w in wanted]}"
    return ""


def right_tools(expected: dict[str, Any]) -> set[str]:
    """Return the names of the tools that would be right for an expected call."""
    if "tool" in expected:
        return {expected["tool"]}
    if "search" in expected:
        return SEARCHES.get(expected.get("in", ""), set().union(*SEARCHES.values()))
    if "archive" in expected:
        return {"archival_memory_insert"}
    return EDITS | {"archival_memory_insert"} if "keep" in expected else EDITS


def judge_arguments(prompt: dict[str, Any], trial: Trial, tools: dict[str, Any]) -> str:
    """Return what is wrong with the arguments or the answer, or an empty string."""
    for (name, arguments), expected in zip(trial.calls, prompt["calls"], strict=True):
        if "tool" in expected:
            wrong = differs(tools[name], arguments, expected["arguments"])
        elif "search" in expected:
            wrong = lacking(arguments["query"], expected["search"])
        elif name == "archival_memory_insert":
            wrong = lacking(arguments["content"], expected.get("archive") or expected["keep"])
        elif "keep" in expected:
            wrong = lacking(trial.blocks[arguments["label"]], expected["keep"])
        else:
            labels = expected["edit"] if isinstance(expected["edit"], list) else [expected["edit"]]
            value = trial.blocks.get(arguments["label"], "")
            wrong = "" if arguments["label"] in labels else f"wrong block {arguments['label']}"
            wrong = wrong or lacking(value, expected.get("has", []))
            wrong = wrong or has_forbidden(value, expected.get("lacks", []))
        if wrong:
            return wrong
    wanted = prompt.get("answer", {})
    if wanted.get("question") and "?" not in trial.answer:
        return "it asks nothing"
    return lacking(trial.answer, wanted.get("has", [])) or has_forbidden(
        trial.answer, wanted.get("lacks", [])
    )


def differs(tool: dict[str, Any], given: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return the first argument that is wrong, missing or too much (defaults are not too much)."""
    properties = tool["parameters"]["properties"]
    for key in sorted({*given, *wanted}):
        if key not in given:
            default = properties[key].get("default")
            if default is None or not same(default, wanted[key]):
                return f"{key} is missing"
        elif key not in wanted:
            if given[key] != properties.get(key, {}).get("default"):
                return f"{key} is too much"
        elif not same(given[key], wanted[key]):
            return f"{key} should be {wanted[key]!r}"
    return ""


def same(given: Any, wanted: Any) -> bool:
    """Compare tolerantly: text without case and punctuation, numbers by value."""
    if isinstance(wanted, dict):
        if "one_of" in wanted:
            return any(same(given, choice) for choice in wanted["one_of"])
        return not lacking(str(given), wanted["has"])
    if isinstance(wanted, bool) or isinstance(given, bool):
        return given is wanted
    if isinstance(wanted, (int, float)):
        return isinstance(given, (int, float)) and abs(given - wanted) < 1e-9
    if isinstance(wanted, list):
        return (
            isinstance(given, list)
            and len(given) == len(wanted)
            and all(same(g, w) for g, w in zip(given, wanted, strict=True))
        )
    return isinstance(given, str) and plain(given) == plain(wanted)


def lacking(text: str, wanted: list[str | list[str]]) -> str:
    """Return the first wanted text that is not in *text*, or an empty string."""
    for item in wanted:
        choices = [item] if isinstance(item, str) else item
        if not any(plain(choice) in plain(text) for choice in choices):
            return f"lacks {item!r}"
    return ""


def has_forbidden(text: str, forbidden: list[str]) -> str:
    """Return the first forbidden text that is in *text*, or an empty string."""
    for item in forbidden:
        if re.search(rf"\b{re.escape(plain(item))}\b", plain(text)):
            return f"has {item!r}"
    return ""


def plain(text: str) -> str:
    """Return *text* without case, punctuation and superfluous blanks."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"(?<!\d)[^\w\s]|[^\w\s](?!\d)", " ", text.replace("'", "")).split())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", default="unseen", choices=["unseen", "tuning"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    score = measure(options.set)
    if options.set != "tuning":
        score.failures = []  # nobody is to tune on them
    if options.json:
        percents = {
            "right_tool_percent": score.right_tool_percent,
            "right_arguments_percent": score.right_arguments_percent,
        }
        print(json.dumps({"set": options.set, **asdict(score), **percents}, indent=1))
        return 0
    for failure in score.failures:
        print(failure)
    print(
        f"{options.set}: {score.prompts} prompts; right tool {score.right_tool} "
        f"({score.right_tool_percent} %); right tool, arguments and answer "
        f"{score.right_arguments} ({score.right_arguments_percent} %); "
        f"{score.milliseconds_median} ms a call (worst {score.milliseconds_worst})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
