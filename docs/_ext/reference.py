"""Writes the reference from the code while the site is built: nothing of it is kept by hand.

A page says ``<!-- made: NAME -->`` where one of `MADE` goes. The tutorials are the notebooks, the pages of
errors are `letta_kernel.troubles`, and ``llms.txt`` lists every page for programs that read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs/tutorials/notebooks"
TROUBLES = ROOT / "docs/troubleshooting"
EXECUTED = ROOT / "artifacts/notebooks"
_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Join the build."""
    app.connect("builder-inited", lambda app: _notebooks())
    app.connect("builder-inited", lambda app: _pages_of_errors())
    app.connect("source-read", _fill)
    app.connect("doctree-read", _look_at_pictures)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    if page.startswith("tutorials/notebooks/"):
        return
    source[0] = re.sub(r"<!-- made: (\w+) -->", lambda found: MADE[found[1]](), source[0])


def commands() -> str:
    """Return every command: a table, and each with what it takes."""
    from letta_kernel.commands import GROUPS, TABLE, reference

    told = [reference.listing()]
    for group in GROUPS:
        told.append(f"## {group}")
        for one in TABLE:
            if one.group != group:
                continue
            doors = [door for door in ("notebook", "terminal") if one.name(door) is not None]
            name = one.short(doors[0]).split(" [")[0].split(" NAME")[0]
            told += [
                f"### {_escaped(name)}",
                "```\n" + "\n".join(one.usage(d) for d in doors) + "\n```",
            ]
            told.append(_escaped(one.help))
            options = {o.usage: o.takes.help for door in doors for o in one.takes(door)}
            if options:
                rows = [
                    f"| `{_cell(usage)}` | {_cell(about)} |" for usage, about in options.items()
                ]
                told.append("\n".join(["| | |", "| --- | --- |", *rows]))
            if one.about:
                told.append("```text\n" + one.about.strip("\n") + "\n```")
    return "\n\n".join(told)


def settings() -> str:
    """Return every variable of the environment."""
    from letta_kernel.settings import VARIABLES

    rows = [f"| `{one.name}` | {_links(one.about)} |" for one in VARIABLES]
    return "\n".join(["| variable | what it says |", "| --- | --- |", *rows])


def views() -> str:
    """Return the tables that ``sql`` reads."""
    with _project() as service:
        return service.sql.page()


def errors() -> str:
    """Return the classes of errors, as a program catches them."""
    from letta_kernel import errors as module

    found = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]
    rows = [
        f"| `{one.__name__}` | `{one.__mro__[1].__name__}` | {_first(one)} | {_page(one)} |"
        for one in found
        if issubclass(one, BaseException)
    ]
    return "\n".join(["| error | is a | | page |", "| --- | --- | --- | --- |", *rows])


def _page(one: type) -> str:
    name = getattr(one, "page", "")
    return f"[{name}](../troubleshooting/{name}.md)" if name else ""


def troubles() -> str:
    """Return what a person sees, and the page about it."""
    from letta_kernel.troubles import pages

    rows = [
        f"| {' <br>'.join(f'`{_cell(text)}`' for text in one.seen)} | [{one.name}]({one.name}.md) |"
        for one in pages().values()
    ]
    return "\n".join(["| what you see | page |", "| --- | --- |", *rows])


def rest() -> str:
    """Return every route by subject, then every shape that goes in or out, with an example."""
    described = _openapi()
    subjects: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            takes = [f"`{p['name']}`" for p in one.get("parameters", ()) if p["in"] == "query"]
            body = _shapes(one.get("requestBody", {}))
            gives = _shapes(one.get("responses", {}).get("200", {}))
            row = [
                f"`{method.upper()} {path}`",
                one.get("summary", ""),
                ", ".join([*body, *takes]),
                ", ".join(gives),
            ]
            subject = (one.get("tags") or [path.split("/")[2]])[0]
            subjects.setdefault(subject, []).append("| " + " | ".join(map(_cell, row)) + " |")
    head = ["| route | | takes | gives |", "| --- | --- | --- | --- |"]
    told = [
        "\n".join([f"## {subject.capitalize()}\n", *head, *rows])
        for subject, rows in subjects.items()
    ]
    told.append("## Shapes")
    for name, schema in sorted(described["components"]["schemas"].items()):
        told.append(_shape(name, schema))
    return "\n\n".join(told)


def events() -> str:
    """Return what a stream may say, in the order of the module that defines it."""
    from letta_kernel.server.schemas import messages

    kinds = [
        one
        for one in vars(messages).values()
        if isinstance(one, type)
        and one.__module__ == messages.__name__
        and "message_type" in getattr(one, "model_fields", {})
    ]
    told = []
    for one in kinds:
        fields = [
            f"| `{name}` | `{_cell(_type(field.annotation))}` |"
            for name, field in one.model_fields.items()
            if name != "message_type"
        ]
        kind = one.model_fields["message_type"].default
        if isinstance(kind, str):
            told.append(
                "\n".join(
                    [f"## `{kind}`\n", _first(one), "\n| field | type |", "| --- | --- |", *fields]
                )
            )
    return "\n\n".join(told)


MADE: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "views": views,
    "errors": errors,
    "troubles": troubles,
    "rest": rest,
    "events": events,
}


@contextmanager
def _project() -> Iterator[Any]:
    """Give an `AgentService` of a project that goes again."""
    from letta_kernel.service import AgentService

    with tempfile.TemporaryDirectory() as home, AgentService(home, store="") as service:
        yield service


def _openapi() -> dict[str, Any]:
    from letta_kernel.server.app import create_app

    with _project() as service:
        return create_app(service, token="t").openapi()


def _shapes(part: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys(re.findall(r"#/components/schemas/([\w-]+)", json.dumps(part))):
        yield f"[{name}](#{_anchor(name)})"


def _shape(name: str, schema: dict[str, Any]) -> str:
    told = [f"### {name}", _escaped(schema.get("description", "").partition("\n\n")[0])]
    needed = schema.get("required", ())
    rows = []
    for field, about in schema.get("properties", {}).items():
        kinds = ", ".join(_shapes(about)) or _kind(about)
        mark, said = "" if field in needed else "?", _cell(about.get("description", ""))
        rows.append(f"| `{field}`{mark} | {_cell(kinds)} | {said} |")
    if rows:
        told.append("\n".join(["| field | type | |", "| --- | --- | --- |", *rows]))
    if example := schema.get("example") or (schema.get("examples") or [None])[0]:
        text = json.dumps(example, indent=2, ensure_ascii=False)
        told.append(f":::{{dropdown}} Example\n```json\n{text}\n```\n:::")
    return "\n\n".join(one for one in told if one)


def _kind(about: dict[str, Any]) -> str:
    if "enum" in about:
        return ", ".join(f"`{one}`" for one in about["enum"])
    several = about.get("anyOf") or about.get("oneOf") or [about]
    return ", ".join(
        dict.fromkeys(str(one.get("type") or one.get("const") or "any") for one in several)
    )


def _type(annotation: Any) -> str:
    return re.sub(
        r"(?:\w+\.)+",
        "",
        str(getattr(annotation, "__name__", "") if isinstance(annotation, type) else annotation),
    )


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _first(one: type) -> str:
    return _escaped((one.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " "))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("``", "`").replace("<", "&lt;")


def _links(text: str) -> str:
    """Make paths of the repository links of a page in ``reference/``."""
    return text.replace("](docs/", "](../")


def _notebooks() -> None:
    """Put the notebooks beside the pages, as the tests have executed them; what has changed is executed now."""
    shutil.rmtree(TUTORIALS, ignore_errors=True)
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        place = path.relative_to(ROOT / "notebooks")
        # Solutions are not for everybody who looks at the site.
        if any(part.startswith(".") or part == "solutions" for part in place.parts):
            continue
        executed = EXECUTED / place
        if not executed.is_file() or _cells(executed) != _cells(path):
            executed.parent.mkdir(parents=True, exist_ok=True)
            run = [sys.executable, ROOT / "notebooks/run.py", path, "--save", executed]
            done = subprocess.run(run, capture_output=True, text=True, check=False)
            if done.returncode:
                _log.warning("%s failed: %s", path.name, done.stderr[-2000:])
        notebook = json.loads(executed.read_text("utf-8"))
        # One that was never executed does not say what its cells are written in.
        notebook["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        up = "../" * (len(place.parts) + 1)
        beside = f"notebooks/{place.parent.as_posix()}/"  # solutions and data are no pages
        exercises = False  # shown as a student opens them, however they were executed
        for cell in notebook["cells"]:
            exercises = exercises or cell.get("id") == "exercises"
            if exercises and cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
            text = "".join(cell["source"])
            text = re.sub(r"\[[^]]+\]\(((?:solutions|data)/[^)]+)\)", rf"`{beside}\1`", text)
            cell["source"] = re.sub(r"\]\((?:\.\./)+docs/", f"]({up}", text)
        (TUTORIALS / place).parent.mkdir(parents=True, exist_ok=True)
        (TUTORIALS / place).write_text(json.dumps(notebook), "utf-8")
    for pictures in (ROOT / "notebooks").rglob("pictures"):
        place = TUTORIALS / pictures.relative_to(ROOT / "notebooks")
        shutil.copytree(pictures, place, dirs_exist_ok=True)


def _pages_of_errors() -> None:
    """Write a page for each name that an error may end with."""
    from letta_kernel.troubles import pages

    for one in pages().values():
        place = TROUBLES / f"{one.name}.md"
        if not place.is_file() or place.read_text("utf-8") != one.markdown:
            place.write_text(one.markdown, "utf-8")


def _cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]]


def _look_at_pictures(app: Sphinx, tree: nodes.document) -> None:
    for picture in tree.findall(nodes.image):
        if len(picture.get("alt", "")) < 10:
            _log.warning("A picture needs a text that says what is on it.", location=picture)


def _finish(app: Sphinx, problem: Exception | None) -> None:
    """Write ``llms.txt`` (llmstxt.org), and see that no page fetches anything from another host."""
    if problem is not None or app.builder.format != "html":
        return
    lines = [
        "# letta-kernel",
        "",
        "> A Jupyter kernel and notebook extension for stateful LLM agents.",
        "",
    ]
    lines += [
        f"- [{app.env.titles[page].astext()}]({page}.html)" for page in sorted(app.env.found_docs)
    ]
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", "utf-8")
    for page in Path(app.outdir).rglob("*.html"):
        for tag in _FETCHED.findall(page.read_text("utf-8")):
            _log.warning("%s fetches from another host: %s", page.name, tag)


_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=\"(?:https?:)?//[^>]*>"
    r"|<link\b(?![^>]*rel=\"(?:canonical|author|license)\")[^>]*\bhref=\"(?:https?:)?//[^>]*>"
)
