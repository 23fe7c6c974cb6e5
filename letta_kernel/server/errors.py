"""What went wrong, as HTTP says it: 404, 409, 422, 501 with ``{"detail": …}``, and never a stack trace."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from letta_kernel.errors import (
    AgentBusyError,
    ConflictError,
    InvalidInputError,
    LettaError,
    NotFoundError,
    QuotaError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
    ToolError,
)
from letta_kernel.models.base import ModelError
from letta_kernel.remedies import SAYS_ALL, Remedy
from letta_kernel.server.encoded_slashes import restored
from letta_kernel.server.remedies import WORDS

log = logging.getLogger("letta_kernel")

_OPENAI = re.compile(r"/openai/v1(/|\Z)|/v1/chat/completions\Z")
"""The paths that speak OpenAI's way."""


class Refusal(BaseModel):
    """Why a request was not done; a 422's list names the fields."""

    detail: str | list[dict[str, Any]] | dict[str, Any]
    run_id: str | None = None
    page: str | None = None  # ``letta-kernel help PAGE`` tells more


def _response(description: str, detail: Any) -> dict[str, Any]:
    content = {"application/json": {"example": {"detail": detail}}}
    return {"model": Refusal, "description": description, "content": content}


AGAIN = {"Retry-After": "1"}
"""Goes with an answer to what may be asked again in a second."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: _response("The body cannot be read.", "There was an error parsing the body"),
    401: _response("The token is missing or wrong.", "Send the server's token."),
    403: _response("This may not be done here.", "This token may read, not write."),
    404: _response("There is no such thing.", "There is no agent 'agent-1'."),
    408: _response("The body took too long.", "The request's body did not come."),
    409: _response("Somebody else is at it.", "The agent is in the middle of a run."),
    413: _response("The body is too large.", "A request may have 16,777,216 bytes."),
    422: _response(
        "A value was refused; nothing was changed.",
        [{"type": "missing", "loc": ["body", "label"], "msg": "Field required"}],
    ),
    429: _response("Too much at once for this token.", "32 streams go on with this token."),
    501: _response("Not offered by this server.", "Messages cannot be scheduled here."),
    502: _response("The model failed.", "The provider refused the key."),
    503: _response("Too much at once, or the store is not to be had.", "Try again later."),
}
"""How every path may answer beside its own way."""


class FieldError(InvalidInputError):
    """A value of the request was refused: *field* says which one, *where* is body, query or path."""

    def __init__(self, field: str, message: str, *remedies: Remedy, where: str = "body") -> None:
        super().__init__(message, *remedies)
        self.loc = [where, *field.split(".")]


class ApprovalError(InvalidInputError):
    """An answer to calls does not fit those that wait; clients of Letta know it by its text."""

    page = "approval-waiting"


class NothingThereError(InvalidInputError):
    """What is asked for needs something that is not there: a run that goes on, messages to summarise."""

    page = "not-found"


class PendingApprovalError(ConflictError):
    """A message came while calls wait for approval, which the message *request_id* asks for."""

    page = "approval-waiting"

    def __init__(self, names: str, request_id: str) -> None:
        super().__init__(
            f"Cannot send a new message: the agent is waiting for approval of {names}. "
            "Please approve or deny the pending request before continuing, or send its return."
        )
        self.request_id = request_id


class LeftOutError(LettaError):
    """Something of Letta's API that this server does not do; the text says what to do instead."""

    page = "not-offered"


class TooManyRunsError(LettaError):
    """The server runs as many agents as it may; try again later."""

    page = "server-busy"


class DrainingError(LettaError):
    """The server is about to end and begins nothing any more; another one does, or this one's successor."""

    page = "server-busy"


class ForbiddenError(LettaError):
    """The token that came along does not allow it."""

    page = "not-allowed"


class TokenBusyError(LettaError):
    """As much goes on with the token that came along as may; try again later."""

    page = "server-busy"


_STATUS: tuple[tuple[type[LettaError], int], ...] = (
    (LeftOutError, 501),
    (TooManyRunsError, 503),
    (DrainingError, 503),
    (ForbiddenError, 403),
    (TokenBusyError, 429),
    (QuotaError, 429),
    (NotFoundError, 404),
    (ConflictError, 409),
    (AgentBusyError, 409),
    (ApprovalError, 400),
    (NothingThereError, 400),
    (InvalidInputError, 422),
    (ToolError, 422),
    (ReadOnlyError, 403),
    (StoreError, 503),
    (ModelError, 502),
)


def status_of(error: LettaError) -> int:
    """Return the HTTP status of an error of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def problem(loc: list[Any], message: str, kind: str = "value_error") -> dict[str, Any]:
    """Return one entry of a 422's ``detail``, in the form FastAPI gives its own."""
    return {"type": kind, "loc": [str(part) for part in loc], "msg": message}


def told(scope: Mapping[str, Any], status: int, detail: Any, page: str = "") -> dict[str, Any]:
    """Return what is said of a refusal: ``detail``, or OpenAI's ``error`` where its clients ask.

    Parameters
    ----------
    page : of `letta_kernel.troubles`, which tells more.
    """
    if not _OPENAI.search(scope["path"]):
        named = {"page": page} if page and page not in SAYS_ALL else {}
        return {"detail": detail, **named}
    if not isinstance(detail, str):
        detail = "; ".join(f"{'.'.join(one['loc'])}: {one['msg']}" for one in detail)
    return openai_error(
        detail, "authentication_error" if status == 401 else "invalid_request_error"
    )


def openai_error(message: str, kind: str) -> dict[str, Any]:
    """Return an error in OpenAI's words."""
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def answer(error: LettaError, scope: Mapping[str, Any]) -> JSONResponse:
    """Return the response for an error of ours."""
    status = status_of(error)
    text = error.in_words(WORDS).encode("utf-8", "replace").decode()
    detail: Any = [problem(error.loc, text)] if isinstance(error, FieldError) else text
    if isinstance(error, PendingApprovalError) and not _OPENAI.search(scope["path"]):
        waits = error.request_id
        detail = {"code": "PENDING_APPROVAL", "message": text, "pending_request_id": waits}
    # The SDK tries 5xx again; what is left out will not be there a second later.
    headers = {501: {"x-should-retry": "false"}, 429: AGAIN}.get(status)
    if isinstance(error, QuotaError):
        headers = {"Retry-After": str(max(1, math.ceil(error.seconds)))}
    if isinstance(error, StoreBusyError | TooManyRunsError | DrainingError):
        headers = AGAIN
    return JSONResponse(told(scope, status, detail, error.page), status, headers)


def install(app: FastAPI) -> None:
    """Make *app* answer errors as this module says."""

    @app.exception_handler(LettaError)
    async def ours(request: Request, error: LettaError) -> JSONResponse:
        return answer(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: it may hold what JSON cannot, and need not be said back.
        found = [
            problem(list(e["loc"]), _clean(str(e["msg"])), str(e["type"])) for e in error.errors()
        ]
        return JSONResponse(told(request.scope, 422, found), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code
        return JSONResponse(told(request.scope, status, error.detail), status, error.headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        path = restored(request.url.path)
        log.error("%s %s failed", request.method, path, exc_info=error)
        return JSONResponse(
            {"detail": "The server met a defect of its own; its log says more."}, 500
        )


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
