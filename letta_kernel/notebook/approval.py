"""Asking the person in front of the notebook about calls that need a word of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.agent.decisions import Decision
from letta_kernel.commands.approvals import answered, by_policy, described
from letta_kernel.display.live import Choice, LiveView
from letta_kernel.messages import ToolCall
from letta_kernel.notebook.approvals import Approvals, Question
from letta_kernel.notebook.preferences import PREFERENCES

_ELSEWHERE = "Waiting for your word: in JupyterLab's notification, or in the Agents panel."


def ask(question: Question, view: LiveView, approvals: Approvals) -> list[Decision] | None:
    """Ask about each call; None leaves them waiting.

    By buttons in the view where the front end shows it, and by those of a panel, whichever is pressed
    first; where there is neither, by a line to type in. Where a front end takes no input (a notebook run
    without a person), the policy decides, which is to deny unless ``LETTA_APPROVAL`` says otherwise.
    Nobody is asked where JupyterLab's settings say what to do.

    Raises
    ------
    KeyboardInterrupt
        The stop button; the calls go on waiting.
    """
    if PREFERENCES.approval != "ask":
        why = "the approval policy of JupyterLab's settings is to deny"
        return by_policy(question.calls, PREFERENCES.approval, why)

    def elsewhere() -> list[Choice] | None:
        given = question.decided()
        if given is None:
            return None
        return [Choice(one.call_id, one.approve, one.reason, one.arguments) for one in given]

    with approvals.asking(question):
        choices = view.ask_approval(question.calls, elsewhere)
        if choices is not None:
            return [
                Decision(one.call_id, one.approve, one.reason, one.arguments) for one in choices
            ]
        if approvals.panels:
            print(_ELSEWHERE, flush=True)
            return question.wait()
    return _ask_in_words(question.calls)


def _ask_in_words(calls: Sequence[ToolCall]) -> list[Decision] | None:
    decisions = []
    for call in calls:
        try:
            answer = input(f"Allow {described(call)}?  [y]es, [n]o, or why not: ")
        except KeyboardInterrupt:
            raise
        except Exception:  # EOF, or a front end without stdin, each with an error of its own
            return by_policy(calls)
        decisions.append(answered(call, answer))
    return decisions
