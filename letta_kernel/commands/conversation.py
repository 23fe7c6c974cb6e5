"""What was said, and what is to be said: messages, events, approvals, the conversation so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.commands.arguments import json_object
from letta_kernel.commands.door import (
    AGENT,
    LIMIT,
    MAX_STEPS,
    PLACED_AGENT,
    Answer,
    Door,
    Notebook,
    Terminal,
)
from letta_kernel.commands.spec import Policy, argument, command, option
from letta_kernel.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from letta_kernel.messages import ToolCall
    from letta_kernel.records import AgentState

GROUP = "Talking"

FROM = option("From this day or moment on: 2024-01-31, 2024-01-31T09:00", values="time")
TO = option("Up to this day or moment, the whole day included", values="time")
AS_OF = option("As it stood at this day's end, or moment", values="time")
PAGE = option("Which so many; 2: the next", 1, least=1)
TOP = option("How many", 10, terminal="--top -n", least=1, most=1000)
QUERY = argument("Words, or a question", free=True)
APPROVAL = option(
    "Calls that need your word: ask, approve, deny or wait. Where nobody can be asked the default is "
    "LETTA_APPROVAL, or deny",
    notebook=None,
)
THIS_MODEL = option("This model, for this alone", terminal="--model -m", values="model")


@command("%%agent", None, group=GROUP)
def cell(
    door: Notebook,
    name: str | None = argument(
        "Another agent than the current one, which it becomes; or a group: @team",
        None,
        values="speaker",
    ),
    model: str | None = THIS_MODEL,
    max_steps: int | None = MAX_STEPS,
    as_: str | None = option(
        "Put the answer into a variable, as a value of a type: --as rows list[Person]",
        free=True,
        shown="VARIABLE TYPE",
    ),
    notebook_context: str | None = option(
        "What of the notebook goes beside this message: what is new, the whole, or nothing",
        values="context",
    ),
    raw: bool = option("Send the cell as it is: no {expressions} filled in, no @names looked up"),
    step: bool = option("Stop at each step, to look at what comes next and to change it"),
) -> None:
    """Send the cell to an agent and watch it work.

    --as person Person gives the variable person a validated object: of a pydantic model, a dataclass, a
    TypedDict, list[Person], int, DataFrame. An answer that does not fit goes back once; then the cell fails,
    and nothing is assigned.

    {expression} is filled in from the notebook, as in an f-string: {df.shape[0]:,} rows. Braces that hold no
    Python expression (JSON, LaTeX, code) stay as they are; {{ and }} stand for single braces. The stop
    button ends the run; what was said so far is kept.

    @name puts what it stands for beside the message: @df a variable (of a table columns, types, ranges and
    first rows, of a function its source), @cell the selected cell or the one that ran last, @cell:3 the one
    of that number or id, @above the cell above, @error the cell that failed last, @file.csv, @notebook.ipynb
    and @folder what is there (@"with spaces.csv"). A name that is nothing stays text: e-mail addresses,
    decorators, what stands in backticks.

    Beside each message stands what cells have done since the agent's last turn, in at most notebook_budget
    tokens; cells tagged private never, keys and passwords hidden. %agent set notebook_context off|on|whole
    says how much, %agent context shows it.
    """  # the notebook does it, which has the cell


@command("%%script", None, group=GROUP)
def script(
    door: Notebook, name: str | None = argument("The model scripted/NAME plays it", None)
) -> None:
    """Write down what a model says, so that a notebook tells its story without a language model.

    # The model scripted/NAME plays this: %%agent --model scripted/NAME, %agent new ada --model …
    expect last contains: my name is
    think: A name. I keep it.
    call: core_memory_append(label="human", content="Name: Kim")
    say: Nice to meet you, Kim.

    expect system contains: Name: Kim
    say: You are Kim.

    A paragraph is one answer of the model, a line is one move of it:

    say: words                      the answer; stream: words gives it word by word,
                                    stream 0.2: words with so many seconds between two
    call: name(argument="value")    a tool call; call: name {…} sends arguments as they are written
    think: words                    reasoning, before the answer
    wait: 2                         seconds in which nothing comes
    fail: words                     the model call fails; fail rate_limit: words says how
    expect last contains: words     a check of what the model is sent, before it answers: of the last
                                    message, the system prompt or the whole conversation; contains or lacks
    expect tools include: a, b      which tools it is offered; include or lack

    Lines that begin with # are comments; an indented line goes on with the one above. What follows a
    call begins another answer, since its result comes between. A check that fails ends the run and says
    what was expected and what came. Scripts live in this kernel alone. Every agent has its own place in a
    script: the beginning, when the cell has run again or the kernel was restarted, so that Restart & Run
    All works. The model named just scripted plays the script whose cell ran last. In Python:
    letta_kernel.scripted(moves, name) does the same and returns the model's name.

    A cell that holds no moves and names a program (%%script bash) is run by it, as IPython does.
    """


@command("event", None, group=GROUP, lists=True)
def event(
    door: Notebook,
    text: str | None = argument("What has happened", None, free=True),
    after: str | None = option("After a while: 90s, 10m, 1h30m", notebook="--in", values="time"),
    every: str | None = option("Again and again, until --stop or the kernel's end", values="time"),
    stop: bool = option("Stop the agent's timers"),
    agent: str | None = option("An agent other than the current one", values="agent"),
) -> str | None:
    """Tell it of an event, now or later; without a text, list the timers."""
    from letta_kernel.display import words

    if stop:
        if text or after or every:
            raise InvalidInputError("--stop stands alone: %agent event --stop")
        whose = door.agent(agent)
        return f"Stopped {words.count(door.timers.stop(whose.id), 'timer')} of {whose.name}."
    if text is None:
        if after or every:
            raise InvalidInputError('What is the event? %agent event "TEXT" --in 10m')
        waiting = " · ".join(timer.status for timer in door.timers.waiting)
        return waiting or "No timers. %agent event TEXT --in 10m sets one."
    door.send_event(door.agent(agent), text, after, every)
    return None


@command("approve", None, group=GROUP)
def approve(
    door: Notebook,
    agent: AgentState = AGENT,
    call: str | None = argument(
        "One of them, by its id or tool; all if not given", None, values="call"
    ),
    args: str | None = option("Other arguments for the call, as JSON", free=True),
    for_: str | None = option(
        "Which later calls like it pass too, of tools of the notebook: run, notebook, always",
        values="scope",
    ),
) -> None:
    """Let the calls run that wait for your word, or one of them; the others are denied then."""
    from letta_kernel.commands.approvals import scope_of
    from letta_kernel.service import Decision
    from letta_kernel.tools.notebook import NAMES
    from letta_kernel.tools.rules import needs_approval
    from letta_kernel.tools.skills import ASKS as SKILLS_ASK

    scope = scope_of(for_)
    calls = _waiting(door, agent, call)
    if args is not None and len(calls) != 1:
        known = ", ".join(f"{one.id} ({one.name})" for one in calls)
        raise InvalidInputError(f"--args is for one call: {known}.")
    arguments = None if args is None else json_object(args, "--args is")
    decisions = [Decision(one.id, approve=True, arguments=arguments, scope=scope) for one in calls]
    asks = {tool.name for tool in door.service.tools.list(agent.id) if tool.requires_approval}
    asks.update(NAMES)  # the notebook knows which of them do not
    asks |= SKILLS_ASK
    for one in door.service.runs.pending(agent.id):
        if one not in calls and not (
            one.name in asks or needs_approval(agent.tool_rules, one.name)
        ):
            decisions.append(Decision(one.id, approve=True))  # it only waits for the others
    door.decide(agent, decisions)


@command("deny", None, group=GROUP)
def deny(
    door: Notebook,
    agent: AgentState = AGENT,
    reason: str | None = argument("Why, for the agent", None, free=True),
) -> None:
    """Refuse the calls that wait for your word, and say why."""
    from letta_kernel.service import Decision

    calls = _waiting(door, agent, None)
    door.decide(agent, [Decision(one.id, approve=False, reason=reason or "") for one in calls])


def _waiting(door: Door, agent: AgentState, name: str | None) -> list[ToolCall]:
    """Return the calls that wait: all, or those of this id or tool."""
    calls = door.service.runs.pending(agent.id)
    if not calls:
        raise InvalidInputError(f"{agent.name} waits for no approval.")
    found = [call for call in calls if name is None or name in (call.id, call.name)]
    if not found:
        known = ", ".join(f"{call.id} ({call.name})" for call in calls)
        raise InvalidInputError(f"{agent.name} does not wait for {name!r}; it waits for: {known}.")
    return found


@command(None, "chat", group=GROUP)
def chat(
    door: Terminal,
    agent: AgentState = AGENT,
    model: str | None = THIS_MODEL,
    approval: Policy | None = APPROVAL,
    quiet: bool = option("Only the answers", terminal="--quiet -q"),
    step: bool = option("Stop at each step, to look at what comes next and to change it"),
) -> int:
    """Talk to an agent, line by line; /help says what else a line can be.

    Ctrl-C stops the answer, Ctrl-D leaves. Without a terminal each line of the input is a message.
    """
    return door.own(
        "talk.chat", agent=agent, model=model, approval=approval, quiet=quiet, step=step
    )


@command(None, "send", group=GROUP)
def send(
    door: Terminal,
    agent: AgentState = AGENT,
    text: str = argument("What to say; - reads it from the pipe"),
    model: str | None = THIS_MODEL,
    approval: Policy | None = APPROVAL,
    event: bool = option("A system event instead of a message of yours"),
    image: list[str] | None = option("Files of images that go with it, commas between them"),
    max_steps: int | None = MAX_STEPS,
    events: bool = option("Every event of the run as a line of JSON"),
    verbose: bool = option("Thoughts and calls too, on stderr", terminal="--verbose -v"),
) -> int:
    """Send one message and print the answer."""
    from letta_kernel.pictures.values import pictures_of

    return door.own(
        "talk.send",
        agent=agent,
        text=door.text(text),
        model=model,
        approval=approval,
        role="event" if event else "user",
        max_steps=max_steps,
        pictures=pictures_of(image or ()),
        events=events,
        verbose=verbose,
    )


@command("history", "agent history", group=GROUP, lists=True)
def history(door: Door, agent: AgentState = AGENT, limit: int | None = LIMIT) -> Answer:
    """Show the conversation so far."""
    from letta_kernel.display.panels import history_table

    found = door.service.messages.history(agent.id, limit or 50)
    shown = door.service.messages.thumbnails(found)
    return Answer(data=found, panel=lambda: history_table(found, shown))


@command("search", "agent search", group=GROUP)
def search(
    door: Door,
    agent: AgentState = AGENT,
    query: str = QUERY,
    role: list[str] | None = option(
        "Only what they said: user, assistant, system, event, summary", values="role"
    ),
    from_: str | None = FROM,
    to: str | None = TO,
    limit: int = TOP,
    page: int = PAGE,
    as_of: str | None = AS_OF,
) -> Answer:
    """Find what was said, in the whole conversation."""
    from letta_kernel.display.panels import messages_found
    from letta_kernel.service.passages import for_person

    found = door.service.messages.search(
        query,
        agent=agent.id,
        roles=_roles(role),
        limit=limit,
        start=from_,
        end=to,
        page=page - 1,
        as_of=as_of,
    )
    found = for_person(query, found)
    data = [{"score": one.score, "message": one.message} for one in found]
    return Answer(data=data, panel=lambda: messages_found(found))


def _roles(asked: list[str] | None) -> list[str] | None:
    from letta_kernel.memory.recall import ROLES  # only when a search loads it anyway

    for role in asked or ():
        if role not in ROLES:
            hint = nearest(role, list(ROLES)) or f" There is: {', '.join(ROLES)}."
            raise InvalidInputError(f"Nothing is found by the role {role!r}.{hint}")
    return asked or None


@command("compact", "agent compact", group=GROUP)
def compact(door: Door, agent: AgentState = AGENT) -> Answer:
    """Summarise the older conversation now."""
    summary = door.service.messages.compact(agent.id)
    if summary is None:
        return Answer(f"{agent.name}: the conversation is too short for a summary.")
    return Answer(
        f"{agent.name} sees this summary of what went before from now on: {summary.content}",
        summary,
    )


@command("reset", "agent reset", group=GROUP)
def reset(door: Door, agent: AgentState = PLACED_AGENT) -> Answer:
    """Forget the conversation; memory, archive and tools stay."""
    door.service.agents.reset(agent.id)
    return Answer(
        f"{agent.name} has forgotten the conversation; its memory and tools are as they were.",
        agent,
    )
