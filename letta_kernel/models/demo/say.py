"""What the demo model says: every sentence it speaks about itself, memory, tools and their results."""

from __future__ import annotations

import json
import re
from typing import Any

from letta_kernel.models.demo.facts import Fact
from letta_kernel.models.demo.grammar import sentence
from letta_kernel.models.demo.parameters import Parameter, ToolSpec
from letta_kernel.models.demo.scene import Done, Scene

LABEL = "demo model: no language model"
"""Shown beside every answer of the demo model."""

HELP = (
    "For a real language model, set a provider's key (such as OPENAI_API_KEY), run Ollama, "
    "or name a local GGUF file (local//path/model.gguf)."
)
"""The three ways to a real model."""

MEASURED_PROMPTS = 117
MEASURED_TOOL = 98
MEASURED_ALL = 96
"""Per cent of the held-out prompts with the right tool, and with right arguments and answer besides.

``benchmarks/demo_model.py`` measures them; a test holds these constants to what it measures.
"""

FIGURE = (
    f"On {MEASURED_PROMPTS} prompts it was not tuned on it chose the right tool for {MEASURED_TOOL} % and got "
    f"arguments and answer right as well for {MEASURED_ALL} %."
)
OFFER = f"{LABEL}, only rules. {FIGURE} {HELP}"
"""What is said of the demo model where models are listed."""

NATURE = (
    "I am the demo model: no language model, only a small set of rules that picks a tool by the words of your "
    f"message and copies its arguments from there. {HELP}"
)
GENERAL = (
    "I cannot answer that: I am the demo model, no language model, and know only your memory blocks and "
    f"tools. {HELP}"
)
UNCLEAR = (
    "I did not make out what to do with that. I am the demo model, no language model: I can keep what you ask "
    f"me to remember, answer from memory, and call your functions. {HELP}"
)
SMALL_TALK = {
    "greeting": "Hello! Tell me something to remember, ask what I know, or ask for one of your functions.",
    "thanks": "You're welcome.",
    "bye": "Goodbye. I keep what is in memory.",
    "never mind": "All right, nothing done.",
    "yes": "All right.",
    "no": "All right, I won't.",
    "cheer": "Good.",
}
REFUSED = "All right, I won't."
NOT_KEPT = "All right, I won't keep it."
KEEP_WHAT = "What should I remember? Say “remember that …”."
LISTENING = "I see. If I should keep that, say “remember that …”."
NO_MEMORY = "I have no memory tool to keep that with."
_ASK = "For `{name}` I need {what}. {question}"
_ASKED = re.compile(r"For `(?P<name>[\w.-]+)` I need ")
_CONFIRM = "Shall I remember that {said}?"
_CONFIRMED = re.compile(r"Shall I remember that .+\?\s*$", re.DOTALL)
_LONG = 1_500
_MOST_SHOWN = 12


def ask_for(tool: ToolSpec, missing: list[Parameter]) -> str:
    """Return a question for what a call lacks."""
    wanted = [_describe(parameter) for parameter in missing]
    what = wanted[0] if len(wanted) == 1 else f"{', '.join(wanted[:-1])} and {wanted[-1]}"
    question = "What should it be?" if len(missing) == 1 else "What should they be?"
    return _ASK.format(name=tool.name, what=what, question=question)


def asked_tool(answer: str) -> str | None:
    """Return the tool an earlier answer asked arguments for."""
    match = _ASKED.search(answer)
    return match["name"] if match and answer.rstrip().endswith("?") else None


def confirm(facts: tuple[Fact, ...]) -> str:
    """Return the question whether to remember *facts*."""
    return _CONFIRM.format(said=" and ".join(fact.said.rstrip(".") for fact in facts))


def asked_to_confirm(answer: str) -> bool:
    """Tell whether an earlier answer asked whether to remember something."""
    return bool(_CONFIRMED.search(answer))


def _describe(parameter: Parameter) -> str:
    name = parameter.name.replace("_", " ")
    if parameter.choices:
        return f"the {name} ({', '.join(map(str, parameter.choices))})"
    told = parameter.description.split("\n")[0].rstrip(". ")
    return f"the {name} ({told[0].lower() + told[1:]})" if told else f"the {name}"


def who(scene: Scene) -> str:
    """Return who the agent is, from its persona."""
    persona = scene.block("persona")
    told = (
        f"My persona says: “{persona.value.strip()}” " if persona and persona.value.strip() else ""
    )
    return f"{told}{NATURE}"


def skills(scene: Scene, own: list[ToolSpec]) -> str:
    """Return what the agent can do with the tools it has."""
    lines = [
        "I keep facts you tell me, answer from what I remember, and search my archive and our conversation."
    ]
    if own:
        lines.append("I can also call your functions:")
        for tool in own[:_MOST_SHOWN]:
            told = tool.description.split("\n")[0].strip() or "no description"
            lines.append(f"- `{tool.name}`: {told}")
        if len(own) > _MOST_SHOWN:
            lines.append(f"- and {len(own) - _MOST_SHOWN} more")
    else:
        lines.append("Define a function with a docstring in a cell, and I can call it too.")
    lines.append(f"\nI am the demo model, no language model, so I take things literally. {HELP}")
    return "\n".join(lines)


def known(scene: Scene, about_user: bool) -> str:
    """Return everything the memory blocks hold, or only what is about the user."""
    told = []
    for block in scene.blocks:
        if block.value.strip() and (block.label == "human" or not about_user):
            told.append(
                f"My memory ({block.label}) says:\n\n> " + block.value.strip().replace("\n", "\n> ")
            )
    return (
        "\n\n".join(told) or "My memory is still empty. Tell me something, for example your name."
    )


def noted(facts: tuple[Fact, ...], archive: bool, done: Done | None) -> str:
    """Return what was written to memory, or why not."""
    if done is not None and not done.ok:
        return f"I could not write that to memory: {_one_line(done.text)}"
    place = "I have archived" if archive else "I will remember"
    told = " and ".join(_in_sentence(fact.said) for fact in facts)
    return sentence(f"{place} {told}" if told.startswith("to ") else f"{place} that {told}")


def _in_sentence(said: str) -> str:
    said = said.rstrip(". ")
    return (
        said[0].lower() + said[1:]
        if re.match(r"[A-Z][a-z]+ (?:is|are|was|has)\b", said) is None
        and re.match(r"(?:The|A|An|My|Our|Your|This|These)\b", said)
        else said
    )


def found(hits: list[str], query: str, where: str) -> str:
    """Return what a search found."""
    place = "archival memory" if where == "archival" else "our conversation"
    if not hits:
        return f"I searched {place} for “{query}” and found nothing that fits."
    quoted = [f"“{hit.strip()}”" for hit in hits]
    if len(quoted) == 1:
        return f"I found this in {place}: {quoted[0]}"
    return f"I found this in {place}:\n\n" + "\n".join(f"- {hit}" for hit in quoted)


def result(done: Done) -> str:
    """Return what a tool's result says, as a sentence where it is short."""
    call = f"`{show_call(done.name, done.arguments)}`"
    text = done.text.strip()
    if not done.ok:
        return f"{call} failed: {sentence(_one_line(text))} I did not try again."
    if text in ("", "None", "null"):
        return f"Done: {call} ran and returned nothing."
    flat = _flat(text)
    if flat is not None:
        return f"{call} gives {flat}."
    if "\n" not in text and len(text) <= 300:
        return f"{call} says: {text}"
    shown = text if len(text) <= _LONG else text[:_LONG] + "…"
    fence = "````" if "```" in shown else "```"
    return f"{call} returned:\n\n{fence}\n{shown}\n{fence}"


def show_call(name: str, arguments: dict[str, Any]) -> str:
    """Return a call as it would stand in Python, shortened."""
    shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
    return f"{name}({shown})".replace("`", "'")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _flat(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if isinstance(value, (int, float)):
        return text
    simple = (str, int, float, bool, type(None))
    if (
        isinstance(value, dict)
        and value
        and len(value) <= 12
        and all(isinstance(v, simple) for v in value.values())
    ):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if (
        isinstance(value, list)
        and value
        and len(value) <= 20
        and all(isinstance(v, simple) for v in value)
    ):
        return ", ".join(map(str, value))
    return None


def _one_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return (
        lines[-1].strip() if lines and lines[0].startswith("Traceback") else " ".join(lines)[:400]
    )


def summary(transcript: str, words: int) -> str:
    """Return the user's own lines of a transcript, newest kept, within *words* words."""
    kept: list[str] = []
    used = 0
    for line in reversed(transcript.splitlines()):
        if not re.match(r"(?:user|summary[^:]*|tool):", line):
            continue
        used += len(line.split())
        if used > words:
            break
        kept.append(line)
    return "\n".join(reversed(kept)) or transcript[: 6 * words]


def forgotten(fact: Fact) -> str:
    """Return that a note was taken out of memory."""
    return sentence(f"Forgotten: {fact.said.removeprefix('to forget ')}")


def too_long(length: int, most: int) -> str:
    """Return that a message is longer than the demo model reads."""
    return (
        f"That message has {length:,} characters; I am the demo model, no language model, and read {most:,} "
        f"at most. {HELP}"
    )
