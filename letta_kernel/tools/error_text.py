"""What a tool raised, in words: its type and message, its notes, the errors of a group, its cause."""

from __future__ import annotations

_INNER = 20  # errors of one group that are named
_DEEP = 6  # groups in groups, and causes of causes, that are followed


def error_text(error: BaseException) -> str:
    """Return *error* as its type and message, with what the message alone does not tell.

    The errors of a group stand in lines of their own below it, those of groups in it further indented. Notes
    (``add_note``) follow the message. A cause is named where the author gave one (``raise … from …``), and
    where there is no message; an error that was merely being handled says too little otherwise.
    """
    return _text(error, _DEEP)


def holds(error: BaseException, kind: type[BaseException]) -> bool:
    """Return whether *error* is of this kind, or a group that holds one."""
    if isinstance(error, BaseExceptionGroup):
        return any(holds(one, kind) for one in error.exceptions)
    return isinstance(error, kind)


def _text(error: BaseException, levels: int) -> str:
    message = _message(error)
    lines = [f"{type(error).__name__}: {message}" if message else type(error).__name__]
    notes = getattr(error, "__notes__", None)
    lines += [str(note) for note in notes] if isinstance(notes, list | tuple) else []
    if levels and isinstance(error, BaseExceptionGroup):
        inner = error.exceptions
        lines += [_entry(_text(one, levels - 1)) for one in inner[:_INNER]]
        lines += [f"- … and {len(inner) - _INNER} more"] if len(inner) > _INNER else []
    cause = _cause(error, message)
    if levels and cause is not None:
        said = _message(cause)
        if not said or said not in message:  # some pass the message of the cause on
            lines.append(f"caused by {_text(cause, levels - 1)}")
    return "\n".join(lines)


def _entry(text: str) -> str:
    return "- " + text.replace("\n", "\n  ")


def _message(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # an exception's __str__ is the author's too
        return "(its message cannot be shown)"


def _cause(error: BaseException, message: str) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if message or error.__suppress_context__ else error.__context__
