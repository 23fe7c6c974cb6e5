"""The demo model: what answers when no model is configured. No language model, and it says so."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator, Iterator
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall, Usage
from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatRequest,
    ModelError,
    Piece,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from letta_kernel.models.demo import recall, say
from letta_kernel.models.demo.choice import rank
from letta_kernel.models.demo.parameters import LOOP_ARGUMENTS, Parameter, ToolSpec
from letta_kernel.models.demo.plan import Step, plan
from letta_kernel.models.demo.scene import Done, Scene, read

DEMO_LABEL = say.LABEL
DEMO_HELP = say.HELP
DEMO_FIGURE = say.FIGURE
DEMO_OFFER = say.OFFER


class DemoModel:
    """A deterministic stand-in: picks tools by word similarity and copies their arguments from the message."""

    name = "demo"
    label = DEMO_LABEL
    context_window = 32_000
    supports_tools = True
    supports_reasoning = True  # one line on why it chose a tool

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield the answer word by word, or a tool call, and at last the reply."""
        started = time.perf_counter()
        scene = read(request)
        reply = Reply(model=self.name, label=self.label)
        for piece in _pieces(_decide(request, scene), scene, reply):
            if cancel.cancelled:
                raise ModelError("cancelled", "The model call was cancelled.", partial=reply)
            if reply.first_token is None:
                reply.first_token = time.perf_counter() - started
            yield piece
        prompt = sum(
            self.count_tokens(json.dumps(part)) for part in (request.messages, request.tools)
        )
        said = (
            reply.text + reply.reasoning + "".join(c.name + c.arguments for c in reply.tool_calls)
        )
        reply.usage = Usage(
            prompt_tokens=prompt, completion_tokens=self.count_tokens(said), cost=0.0
        )
        yield reply

    def count_tokens(self, text: str) -> int:
        """Return an estimate: a token for four characters."""
        return -(-len(text) // 4)


def _decide(request: ChatRequest, scene: Scene) -> Step:
    """Return the next call, or the closing words as a ``say`` step."""
    if not scene.tools and not scene.blocks:
        return Step("say", text=_bare_answer(request, scene))
    steps = plan(scene)
    call = _next_call(steps, scene)
    forced = _forced(request.tool_choice, scene)
    if request.tool_choice == "none":
        call = None
    elif forced is not None and not (call and call.name in forced) and not scene.done:
        call = _force(forced, scene)
    elif call is None and scene.rule:
        call = _ruled(scene)
    if call is not None:
        return call
    return Step("say", text=_closing(steps, scene))


def _bare_answer(request: ChatRequest, scene: Scene) -> str:
    """Answer a request without tools and memory, such as one for a summary."""
    system = " ".join(str(m.get("content")) for m in request.messages if m.get("role") == "system")
    if re.search(r"\b(?:condense|summari[sz]e|summary)\b", system, re.IGNORECASE):
        limit = re.search(r"at most (\d+) words", system)
        return say.summary(scene.message, int(limit[1]) if limit else 200)
    steps = plan(scene)
    return _closing(steps, scene)


def _next_call(steps: list[Step], scene: Scene) -> Step | None:
    """Return the first planned call that was not made yet; one that failed is not tried again."""
    calls = [step for step in steps if step.name]
    if len(scene.done) >= len(calls):
        return None
    made = [(done.name, done.arguments) for done in scene.done]
    return next((step for step in calls if (step.name, step.arguments) not in made), None)


def _closing(steps: list[Step], scene: Scene) -> str:
    """Return the answer once all calls are made: what each step brought, in order."""
    left = list(scene.done)
    said: list[str] = []
    for step in steps:
        if not step.name:
            said.append(step.text)
            continue
        done = next(
            (d for d in left if d.name == step.name and d.arguments == step.arguments), None
        )
        done = done or next((d for d in left if d.name == step.name), None)
        if done is None:
            continue
        left.remove(done)
        said.append(_told(step, done, scene))
    said.extend(say.result(done) for done in left)
    return "\n\n".join(dict.fromkeys(filter(None, said))) or say.UNCLEAR


def _told(step: Step, done: Done, scene: Scene) -> str:
    if step.kind == "write":
        if done.ok and len(step.facts) == 1 and not step.facts[0].note:
            return say.forgotten(step.facts[0])
        return say.noted(step.facts, done.name == "archival_memory_insert", done)
    if step.kind == "search" and done.ok:
        query = str(step.arguments.get("query", ""))
        where = "archival" if done.name.startswith("archival") else "conversation"
        return say.found(recall.read_hits(done.text, query, scene.message), query, where)
    return say.result(done)


def _forced(choice: str | dict[str, Any] | None, scene: Scene) -> list[str] | None:
    """Return the tools of which one must be called, None where the model is free."""
    if isinstance(choice, dict):
        name = (choice.get("function") or choice).get("name")
        return [name] if name in scene.tools else None
    return list(scene.tools) or None if choice == "required" else None


def _force(names: list[str], scene: Scene) -> Step:
    """Return the call that comes nearest when one of *names* must be called."""
    if "send_message" in names and len(names) > 1:
        return Step("say", text=_closing(plan(scene), scene))
    specs = [scene.tools[name] for name in names]
    ranked = rank(scene.message, specs)
    tool, arguments = (ranked[0].tool, ranked[0].filled.arguments) if ranked else (specs[0], {})
    for parameter in tool.needed:
        arguments.setdefault(parameter.name, _whatever(parameter, scene.message))
    return Step("tool", tool.name, arguments, why=f"`{tool.name}` must be called.")


def _whatever(parameter: Parameter, message: str) -> Any:
    """Return the plainest valid value, for a call that must be made though the message does not give it."""
    if parameter.choices:
        return parameter.choices[0]
    match parameter.type:
        case "integer" | "number":
            return parameter.schema.get("minimum", 0)
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            return {}
        case _:
            return message


def _ruled(scene: Scene) -> Step | None:
    """Return the call a tool rule reminds of, where the message gives its arguments."""
    made = {done.name for done in scene.done}
    for name, tool in scene.tools.items():
        if name not in made and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", scene.rule):
            choices = rank(scene.message, [tool])
            filled = choices[0].filled if choices else None
            if filled is not None and not filled.missing:
                return Step("tool", name, filled.arguments, why=f"`{name}` has still to be called.")
    return None


def _pieces(step: Step, scene: Scene, reply: Reply) -> Iterator[Piece]:
    if not step.name and "send_message" in scene.tools:
        step = Step("answer", "send_message", {"message": step.text})
    if not step.name:
        for word in re.findall(r"\s*\S+\s*", step.text) or [step.text]:
            reply.text += word
            yield TextPiece(word)
        return
    if step.why:
        reply.reasoning = step.why
        yield ReasoningPiece(step.why)
    arguments = json.dumps(_with_loop_arguments(step, scene.tools[step.name]), ensure_ascii=False)
    call = ToolCall(id=new_id("call"), name=step.name, arguments=arguments)
    yield CallPiece(0, id=call.id, name=call.name)
    for piece in re.findall(r"[\s\S]{1,24}", arguments):
        yield CallPiece(0, arguments=piece)
    reply.tool_calls.append(call)
    reply.finish_reason = "tool_calls"


def _with_loop_arguments(step: Step, tool: ToolSpec) -> dict[str, Any]:
    """Add what heartbeat style asks of every call."""
    loop = {"thinking": step.why or "I answer.", "request_heartbeat": step.name != "send_message"}
    extra = {name: loop[name] for name in tool.extra_required if name in LOOP_ARGUMENTS}
    first = {"thinking": extra.pop("thinking")} if "thinking" in extra else {}
    return {**first, **step.arguments, **extra}
