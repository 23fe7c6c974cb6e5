"""How this copy of letta-kernel came here, and so the command that adds to it or renews it."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

NAME = "letta-kernel"


def pip(*, notebook: bool = False) -> str:
    """Return the command that installs packages where this Python finds them.

    An environment made by uv has no pip of its own: uv installs into it.
    """
    if importlib.util.find_spec("pip") is None or _made_by_uv():
        here = shlex.quote(sys.prefix)
        return f"{'!' if notebook else ''}uv pip install --python {here}"
    return "%pip install" if notebook else f"{_python()} -m pip install"


def extra(name: str, *, notebook: bool = False) -> str:
    """Return the command that installs what the extra *name* of this copy needs.

    Of a folder, a wheel, an archive or a repository: that one, for nothing of the kind may be found under
    the package's name in an index.
    """
    return f"{pip(notebook=notebook)} {_source(f'[{name}]')}"


def renew(*, notebook: bool = False) -> str:
    """Return the command that installs a newer copy, once its source is a newer one."""
    return f"{pip(notebook=notebook)} --upgrade {_source('')}"


def _source(extras: str) -> str:
    """Return what to hand to pip: this copy's origin with *extras* (``[a]`` or nothing)."""
    origin = _origin()
    url = str(origin.get("url", ""))
    if not url:
        return _quoted(f"{NAME}{extras}")
    parts = urlsplit(url)
    vcs = origin.get("vcs_info")
    if parts.scheme == "file" and not isinstance(vcs, dict):
        path = url2pathname(unquote(parts.path)) if sys.platform == "win32" else unquote(parts.path)
        if parts.netloc not in ("", "localhost"):
            path = f"//{parts.netloc}{path}"
        editable = bool((origin.get("dir_info") or {}).get("editable"))
        flag = "-e " if editable else ""
        return flag + _quoted(f"{path}{extras}")
    if isinstance(vcs, dict):
        revision = vcs.get("requested_revision")
        url = f"{vcs.get('vcs', 'git')}+{url}" + (f"@{revision}" if revision else "")
    if folder := origin.get("subdirectory"):
        url += f"#subdirectory={folder}"
    return _quoted(f"{NAME}{extras} @ {url}")


def _origin() -> dict[str, Any]:
    """Return what the installer noted of where this copy came from (PEP 610); nothing for an index."""
    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
        found = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _made_by_uv() -> bool:
    try:
        lines = Path(sys.prefix, "pyvenv.cfg").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def _python() -> str:
    return _quoted(sys.executable) if sys.executable else "python"


def _quoted(text: str) -> str:
    if sys.platform == "win32":
        return f'"{text}"'
    return shlex.quote(text)
