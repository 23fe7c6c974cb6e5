"""The command line, ``letta-kernel``: the same agents without a notebook.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 something went wrong (one line on
stderr says what), 2 wrong usage, 130 interrupted. In a pipe tables are tab-separated without a header and
nothing is coloured; ``--json`` is for programs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from letta_kernel.errors import LettaError


def main() -> None:
    """Run the command line; what goes wrong on purpose is one line."""
    import typer

    from letta_kernel import lazy_import, settings, side_effects, waiting
    from letta_kernel.cli.root import build
    from letta_kernel.errors import LettaError

    lazy_import.freeze()
    if sys.argv[1:2] != ["serve"]:
        side_effects.keep_logs_apart()  # stderr is for what the command itself has to say
    click_error: Any = typer.BadParameter.__mro__[2]  # typer may carry a click of its own
    code: Any = 1
    try:
        with waiting.request(_say):
            code = build()(standalone_mode=False)
    except LettaError as error:
        code = 1
        _say(here(error))
    except KeyboardInterrupt:
        code = 130
    except typer.Abort:
        code = 130
    except BrokenPipeError:
        _close_pipe()
        code = 1
    except click_error as error:
        code = _usage(error)
    except Exception as error:
        if settings.DEBUG():
            raise
        code = 1
        _say(_unexpected(error))
    sys.exit(code if isinstance(code, int) else 0)


def here(error: LettaError) -> str:
    """Return an error's line with what to do about it in this place's commands."""
    from letta_kernel.cli.remedies import WORDS  # not needed until something went wrong

    return error.told(WORDS)


def _unexpected(error: Exception) -> str:
    """Return a line for what no command has words for: a file that cannot be used, or a defect of ours."""
    from letta_kernel.errors import inside

    if isinstance(error, OSError) and error.strerror:
        of = f"{error.filename}: " if error.filename is not None else ""
        return f"{of}{error.strerror}."
    return f"{inside(error)} LETTA_DEBUG=1 shows where."


def _usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        error.show()
        return int(error.exit_code)
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "") or "letta-kernel"
    _say(f"{command}: {' '.join(error.format_message().split())} (See {command} --help.)")
    return int(error.exit_code)


def _say(line: str) -> None:
    from letta_kernel.display.clean import clean_text  # only now: what goes well needs it elsewhere

    try:
        print(" ".join(clean_text(line).split()), file=sys.stderr)
    except BrokenPipeError:
        _close_pipe()


def _close_pipe() -> None:
    """Let the interpreter flush into nothing when whoever read our output has gone."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
