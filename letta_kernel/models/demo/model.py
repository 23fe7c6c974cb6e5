"""The demo model: what answers when no model is configured. No language model, and it says so."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator, Iterator
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall, Usage
from letta_kernel.models import base
from letta_kernel.models.demo import memory, vocabulary
from letta_kernel.models.demo.arguments import choose, fill_answer, rank
from letta_kernel.models.demo.memory import Step
from letta_kernel.models.demo.request import Done, Scene, read
from letta_kernel.models.demo.tools import CORE, LOOP_ARGUMENTS, Parameter, ToolSpec, is_question

LABEL = "demo model: no language model"  # shown beside every answer
HELP = (
    "For a real language model, set a provider's key (such as OPENAI_API_KEY), run Ollama, "
    "or name a local GGUF file (local//path/model.gguf)."
)
OFFER = f"{LABEL}, only rules that pick a tool and copy its arguments. {HELP}"
_SELF = "I am the demo model: no language model"
_NATURE = f"{_SELF}, only rules that pick a tool and copy its arguments from your message. {HELP}"
_GENERAL = f"I cannot answer that. {_SELF}, and know only my memory and my tools. {HELP}"
_UNCLEAR = (
    f"{_SELF}. Say “remember that …”, ask what I know, or ask for one of my functions. {HELP}"
)
_SMALL_TALK = {
    r"hi|hello|hey|good (?:morning|afternoon|evening)|hallo|guten (?:tag|morgen|abend)|bonjour|bonsoir|salut":
        "Hello! Tell me something to remember, ask what I know, or ask for one of your functions.",
    r"(?:many )?thank(?:s| you)(?: a lot)?|danke(?: schön)?|merci(?: beaucoup)?": "You're welcome.",
    r"bye|goodbye|good night|see you|tschüss|au revoir": "Goodbye. I keep what is in memory.",
    r"never ?mind|forget it|cancel|stop|no|nope|nein|non": "All right, nothing done.",
    r"yes|ok|okay|sure|great|cool|nice|good|fine|perfect|ja|oui": "All right.",
}  # fmt: skip
_AFTER = (
    r"[\s!.,]*(?:there|all|again|you|very much|that's all|thanks|thank you|please|don't)?[\s!.,?]*"
)
_PRIVATE = re.compile(
    r"(?i)\b(?:do not|don't|dont|never|no need to)\s+(?:save|remember|note|keep|store|write)\b"
    r"(?! (?:where|when|how|what|who))|\boff the record\b"
)
_ABOUT_SELF = re.compile(
    r"(?i)\b(?:are you (?:an? |the |really |real )*(?:ai|human|person|robot|bot|language model|real)"
    r"|(?:what|who) are you|your name|(?:what|which) model|what can you do|(?:which|what) tools)\b|^help\b"
)
_KNOWN = re.compile(
    r"(?i)\bwhat (?:do|have|did) you (?:know|remember\w*|learn\w*|stored?)\b(?! about (?!me\b))"
    r"|\byour memory\?|\b(?:in|have) memory\b|was weißt du über mich|que sais-tu de moi"
)
_ASKED = re.compile(r"For `(?P<name>[\w.-]+)` I need .+\?$", re.DOTALL)
_LONGEST = 8_000  # characters of a message that are read
_SURE = 0.68  # a similarity from which a tool wins over another reading of the message


_LENT = "notebook_"  # tools that every turn in a notebook has; they are meant where it is spoken of
_NOTEBOOK = re.compile(r"(?i)\b(?:notebook|cells?|variables?)\b")


class DemoModel:
    """A deterministic stand-in: picks tools by word similarity and copies arguments from the message."""

    name = "demo"
    label = LABEL
    context_window = 32_000
    supports_tools = True
    supports_reasoning = True  # one line on why it chose a tool
    supports_images = False

    def count_tokens(self, text: str) -> int:
        """Return an estimate: a token for four characters."""
        return -(-len(text) // 4)

    def stream(
        self, request: base.ChatRequest, cancel: base.Cancel
    ) -> Generator[base.Piece, None, None]:
        """Yield the answer word by word, or a tool call, and at last the reply."""
        started, scene = time.perf_counter(), read(request)
        reply = base.Reply(model=self.name, label=self.label)
        for piece in _pieces(_decide(request.tool_choice, scene), scene, reply):
            if cancel.cancelled:
                raise base.ModelError("cancelled", "The model call was cancelled.", partial=reply)
            reply.first_token = reply.first_token or time.perf_counter() - started
            yield piece
        said = reply.text + reply.reasoning + "".join(c.arguments for c in reply.tool_calls)
        sent = self.count_tokens(json.dumps([request.messages, request.tools]))
        answered = self.count_tokens(said)
        reply.usage = Usage(prompt_tokens=sent, completion_tokens=answered, cost=0.0)
        yield reply


def _decide(choice: str | dict[str, Any] | None, scene: Scene) -> Step:
    if not scene.tools and re.search(r"\b(?:condense|summari[sz]e|summary)\b", scene.system, re.I):
        limit = re.search(r"at most (\d+) words", scene.system)
        message = re.sub(r"(?m)^summary of what went before: ", "", scene.message)
        told = re.findall(r"(?m)^(?:user|tool):.*", message) or [message]
        return Step(" ".join(" ".join(told).split()[-int(limit[1]) if limit else -200 :]))
    steps = _plan(scene)
    forced = list(scene.tools) if choice == "required" else []
    if isinstance(choice, dict):
        forced = [n for n in scene.tools if n == (choice.get("function") or choice).get("name")]
    made = [(done.name, done.arguments) for done in scene.done]
    calls = [step for step in steps if step.name]
    # One that failed is not tried again, and no more are made than were planned.
    left = [s for s in calls if (s.name, s.arguments) not in made] if len(made) < len(calls) else []
    may = {name for name, _ in made} | {"send_message"} | {step.name for step in left[:1]}
    fits = may & set(forced)
    if forced and not fits:
        return _force([scene.tools[name] for name in forced], scene.message)
    return left[0] if left and choice != "none" else Step(_closing(steps, scene))


def _force(tools: list[ToolSpec], message: str) -> Step:
    best = rank(message, tools)[0]
    for one in best.missing:
        least = one.schema.get("minimum", 0)
        plain = {"integer": least, "number": least, "boolean": False, "array": [], "object": {}}
        best.arguments[one.name] = one.choices[0] if one.choices else plain.get(one.type, message)
    return Step("", best.tool.name, best.arguments, why=f"`{best.tool.name}` must be called.")


def _plan(scene: Scene) -> list[Step]:
    # The order decides: a greeting is no request, an answer to our own question no new one, and what is
    # private is not kept.
    message = scene.message
    if len(message) > _LONGEST:
        return [Step(f"{len(message):,} characters; the demo model reads {_LONGEST:,}. {HELP}")]
    hidden = set() if _NOTEBOOK.search(message) else {n for n in scene.tools if n.startswith(_LENT)}
    own = [tool for name, tool in scene.tools.items() if name not in CORE and name not in hidden]
    asked = _ASKED.search(scene.before[-1][1]) if scene.before else None
    if small := _small_talk(message or "hello"):
        return [Step(small)]
    tool = scene.tools.get(asked["name"]) if asked else None
    if tool and (completed := _completed(scene, tool, own)):
        return [completed]
    if _PRIVATE.search(message):
        return [Step("All right, I won't.")]
    steps = [step for part in _parts(message, own) for step in _respond(scene, part, own)]
    return [step for step in steps if step.text != _UNCLEAR] or steps[:1]


def _small_talk(text: str) -> str | None:
    for pattern, said in _SMALL_TALK.items():
        if len(text) < 60 and re.fullmatch(rf"(?i)(?:{pattern}){_AFTER}", text):
            return said
    return None


def _parts(message: str, own: list[ToolSpec]) -> list[str]:
    found: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=\S)|\n+", message):
        if found and (":" in found[-1] or memory.asked_to_keep(message)):
            found[-1] += f" {sentence}"  # what a tool is given, or what is to be kept, goes on
            continue
        halves = re.split(r",? (?:and then|then|and|und|et) ", sentence, maxsplit=1)
        picks = [choose(half, own) for half in halves]
        both = all(pick and pick.tool.needed and not pick.missing for pick in picks)
        found += halves if both else [sentence]
    return [part for part in found if part.strip()]


def _respond(scene: Scene, part: str, own: list[ToolSpec]) -> list[Step]:
    # The order decides where a sentence could be two things: a tool that fits surely comes before memory,
    # memory before a guess.
    if step := memory.forget(scene, part):
        return [step]
    best, small = choose(part, own), _small_talk(part)
    sure = best is not None and not best.missing and best.score >= _SURE
    if small or not sure:
        what = memory.asked_to_keep(part)
        told = memory.told_of_self(part) if best is None or best.missing else None
        if small:
            return [Step(small)]
        if step := memory.stand(scene, what or part):
            return [step]
        if what or told:
            archive = re.search(r"(?i)\barchiv", part[:80]) is not None
            return [memory.keep(scene, what or told or "", archive)]
        if step := memory.search(scene, part, asked=True):
            return [step]
        if _KNOWN.search(part):
            return [Step(memory.known(scene))]
        if _ABOUT_SELF.search(part):
            return [Step(_who(scene, own))]
    answer = memory.recall(scene, part) if is_question(part) and not sure else ""
    if best is not None and not answer:
        name, why = best.tool.name, f"similarity {min(best.score, 1):.2f}"
        if best.missing:
            return [Step(_question(name, best.missing))]
        return [Step("", name, best.arguments, why=f"`{name}` fits best ({why}).")]
    personal = re.search(r"(?i)^(?!how).*\b(?:my|our|i)\b.*\?$", part)
    if not answer and personal and (step := memory.search(scene, part, asked=False)):
        return [step]
    return [Step(answer or (_GENERAL if is_question(part) else _UNCLEAR))]


def _completed(scene: Scene, tool: ToolSpec, own: list[ToolSpec]) -> Step | None:
    """Put the answer to the model's question together with the request; None where it is no answer."""
    # The request may be several messages old; of each what it gave is kept, and a lone missing value is taken
    # as it stands.
    message = scene.message
    other = choose(message, [one for one in own if one.name != tool.name])
    if message.endswith("?") or memory.asked_to_keep(message) or (other and other.score > _SURE):
        return None
    mine = [user for user, answer in scene.before[-4:] if f"For `{tool.name}` I need" in answer]
    given: dict[str, Any] = {}
    for number, text in enumerate([*mine, message]):
        found = rank(text, [tool])[0].arguments
        lacking = [p for p in tool.needed if p.name not in given]
        if number and len(lacking) == 1 and (value := fill_answer(lacking[0], text)) is not None:
            found = {lacking[0].name: value}
        given = {**found, **given}
    if missing := [one for one in tool.needed if one.name not in given]:
        return Step(_question(tool.name, missing))
    given = {one.name: given[one.name] for one in tool.parameters if one.name in given}
    return Step("", tool.name, given, why=f"Now I have all that `{tool.name}` needs.")


def _question(name: str, missing: list[Parameter]) -> str:
    wanted = []
    for one in missing:
        told = ", ".join(map(str, one.choices)) or one.description.split("\n")[0].rstrip(". ")
        told = f" ({told[:1].lower()}{told[1:]})" if told else ""
        wanted.append(f"the {one.name.replace('_', ' ')}{told}")
    what = " and ".join(filter(None, [", ".join(wanted[:-1]), wanted[-1]]))
    return f"For `{name}` I need {what}. What should {'it' if len(wanted) == 1 else 'they'} be?"


def _who(scene: Scene, own: list[ToolSpec]) -> str:
    personas = [block.value.strip() for block in scene.blocks if block.label == "persona"]
    lines = [f"My persona says: “{persona}”\n" for persona in personas if persona]
    listed = [f"- `{tool.name}`: {tool.description}" for tool in own[:12]]
    return "\n".join([*lines, _NATURE, *(["", "I can call:", "", *listed] if listed else [])])


def _closing(steps: list[Step], scene: Scene) -> str:
    left, said = list(scene.done), []
    for step in steps:
        same = (d for d in left if d.name == step.name and d.arguments == step.arguments)
        if not step.name:
            said.append(step.text)
        elif done := next(same, None):
            left.remove(done)
            said.append(_told(step, done, scene.message))
    said.extend(_told(Step(), done, scene.message) for done in left)
    return "\n\n".join(dict.fromkeys(filter(None, said))) or _UNCLEAR


def _told(step: Step, done: Done, message: str) -> str:
    """Return what a call brought, as a sentence where it is short."""
    given = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in done.arguments.items())
    shown, text = ", ".join(given).replace("`", "'"), done.text.strip()
    call = f"`{done.name}({shown if len(shown) <= 120 else shown[:119] + '…'})`"
    if not done.ok:
        last = text.splitlines()[-1:] if text.startswith("Traceback") else text.split()
        return f"{call} failed: {vocabulary.sentence(' '.join(last)[:400])} I did not try again."
    if step.note:
        how = "I have archived" if done.name.startswith("archival") else "I will remember"
        return f"{how}: “{step.note}”"
    if done.name in ("memory_replace", "core_memory_replace"):
        return "Forgotten."
    if done.name.endswith("_search"):
        place = "archival memory" if done.name.startswith("archival") else "our conversation"
        found = memory.hits(text, message)
        return f"I found {f'this in {place}: {found}' if found else f'nothing of that in {place}.'}"
    if text in ("", "None", "null"):
        return f"Done: {call} ran and returned nothing."
    if "\n" not in text and len(text) <= 300:
        return f"{call} gives {text.rstrip('.')}."
    return f"{call} returned:\n\n````\n{text[:1_500]}{'…' * (len(text) > 1_500)}\n````"


def _pieces(step: Step, scene: Scene, reply: base.Reply) -> Iterator[base.Piece]:
    if not step.name and "send_message" in scene.tools:
        step = Step("", "send_message", {"message": step.text})
    if not step.name:
        for word in re.findall(r"\s*\S+\s*", step.text) or [step.text]:
            reply.text += word
            yield base.TextPiece(word)
        return
    if step.why:
        reply.reasoning = step.why
        yield base.ReasoningPiece(step.why)
    loop = {"thinking": step.why or "I answer.", "request_heartbeat": step.name != "send_message"}
    extra = {n: loop[n] for n in scene.tools[step.name].extra_required if n in LOOP_ARGUMENTS}
    arguments = json.dumps({**extra, **step.arguments}, ensure_ascii=False)
    call = ToolCall(id=new_id("call"), name=step.name, arguments=arguments)
    yield base.CallPiece(0, id=call.id, name=call.name)
    for piece in re.findall(r"[\s\S]{1,24}", arguments):
        yield base.CallPiece(0, arguments=piece)
    reply.tool_calls.append(call)
    reply.finish_reason = "tool_calls"
