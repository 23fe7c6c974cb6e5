"""Runs a piece of code as the built-in tool ``run_code`` does, in the sandbox's process."""

from __future__ import annotations

import ast
import io
import json
import linecache
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from letta_kernel.tools.error_text import error_text
from letta_kernel.tools.outcome import ReportedError


def run(code: str) -> str:
    """Run Python code; return the value of its last line and what it printed, as JSON.

    Raises
    ------
    ReportedError
        The code raised; the same JSON says how.
    """
    failed: BaseException | None = None
    out, err = io.StringIO(), io.StringIO()
    told: dict[str, Any] = {"results": []}
    space: dict[str, Any] = {"__name__": "__main__"}
    # The traceback shows the lines that failed.
    linecache.cache["<code>"] = (len(code), None, code.splitlines(keepends=True), "<code>")
    try:
        tree = ast.parse(code, "<code>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with redirect_stdout(out), redirect_stderr(err):
            exec(compile(tree, "<code>", "exec"), space)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<code>", "eval"), space)
                told["results"] += [] if value is None else [repr(value)]
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # SystemExit too: it ends the code, not the tool
        failed = problem if not isinstance(problem, SystemExit) or problem.code else None
    told["logs"] = {"stdout": out.getvalue().splitlines(), "stderr": err.getvalue().splitlines()}
    if failed is None:
        return json.dumps(told, ensure_ascii=False)
    frames = None if isinstance(failed, SyntaxError) else failed.__traceback__
    below = frames and frames.tb_next  # without our own frame
    lines = "".join(traceback.format_exception(failed.with_traceback(below)))
    name, value = type(failed).__name__, str(failed)
    told = {**told, "error": {"name": name, "value": value, "traceback": lines}}
    raise ReportedError(json.dumps(told, ensure_ascii=False), error_text(failed), lines)
