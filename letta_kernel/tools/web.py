"""A page of the web as text, and what a search of it finds: for built-in tools, in the sandbox's process."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from letta_kernel import certificates
from letta_kernel.errors import InvalidInputError
from letta_kernel.memory import files

LARGEST = 10 * 1024 * 1024
"""Bytes of a page at most."""
_TIMEOUT = 30.0  # seconds without a byte
_ENDINGS = {"text/html": ".html", "application/xhtml+xml": ".html", "application/pdf": ".pdf"}


def page(url: str) -> str:
    """Return the text of the page at *url*; raise `InvalidInputError` if there is none to be had."""
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidInputError(f"{url!r} is no address of a web page (http:// or https://).")
    try:
        request = urllib.request.Request(url)
    except ValueError as error:
        raise InvalidInputError(f"{url!r} is no address of a web page: {error}.") from None
    data, headers = _ask(request)
    if charset := headers.get_content_charset():
        with suppress(LookupError):  # a name nobody knows: what the bytes look like decides
            data = data.decode(charset, "replace").encode()
    # A file of its own, since how a text is read goes by the file; this is the call's scratch folder.
    path = Path(f"page{_ENDINGS.get(headers.get_content_type(), '.txt')}")
    path.write_bytes(data)
    return files.read(path, apart=False).text  # the call has its limits


def search(query: str, **options: Any) -> str:
    """Return what Exa finds for *query*, as JSON; *options* are those of its API, None left out."""
    key = os.environ.get("EXA_API_KEY")
    if not key:
        raise InvalidInputError(
            "Searching the web needs a key of exa.ai: set EXA_API_KEY before the kernel or server "
            "starts, or give the agent a secret of that name."
        )
    base = os.environ.get("EXA_BASE_URL") or "https://api.exa.ai"
    asked = {"query": query, "type": "auto", **options}
    request = urllib.request.Request(
        f"{base.rstrip('/')}/search",
        json.dumps({name: value for name, value in asked.items() if value is not None}).encode(),
        {"Content-Type": "application/json", "x-api-key": key},
    )
    data, _ = _ask(request)
    try:
        found = [_result(one) for one in json.loads(data)["results"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError("The search answered with something that is no result.") from None
    return json.dumps({"query": query, "results": found}, ensure_ascii=False, indent=1)


def _result(one: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "title": one.get("title"),
        "url": one.get("url"),
        "published_date": one.get("publishedDate"),
        "author": one.get("author"),
        "highlights": one.get("highlights"),
        "text": one.get("text"),
    }
    return {name: value for name, value in shown.items() if value}


def _ask(request: urllib.request.Request) -> tuple[bytes, Any]:
    """Return the body and the headers of the answer to *request*."""
    request.add_header("User-Agent", "letta-kernel")
    host = request.host
    try:
        trusted = certificates.context() if certificates.named() else None
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=trusted) as answer:
            data = answer.read(LARGEST + 1)
    except urllib.error.HTTPError as error:
        raise InvalidInputError(f"{host} answered {error.code} {error.reason}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            reason = f"its certificate is not trusted; {certificates.advice()}"
        raise InvalidInputError(f"{host} cannot be reached: {reason}.") from None
    if len(data) > LARGEST:
        raise InvalidInputError(f"What {host} answered is larger than {LARGEST // 1024**2} MB.")
    return data, answer.headers
