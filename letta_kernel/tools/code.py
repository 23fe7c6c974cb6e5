"""Runs a piece of code as the built-in tool ``run_code`` does, in the sandbox's process."""

from __future__ import annotations

import ast
import io
import json
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def run(code: str) -> str:
    """Run Python code; return the value of its last line, what it printed and how it failed, as JSON."""
    out, err = io.StringIO(), io.StringIO()
    told: dict[str, Any] = {"results": []}
    space: dict[str, Any] = {"__name__": "__main__"}
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
        frames = None if isinstance(problem, SyntaxError) else problem.__traceback__
        below = frames and frames.tb_next  # without our own frame
        lines = traceback.format_exception(problem.with_traceback(below))
        told["error"] = {
            "name": type(problem).__name__,
            "value": str(problem),
            "traceback": "".join(lines),
        }
    told["logs"] = {"stdout": out.getvalue().splitlines(), "stderr": err.getvalue().splitlines()}
    return json.dumps(told, ensure_ascii=False)
