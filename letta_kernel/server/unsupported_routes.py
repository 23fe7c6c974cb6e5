"""What of Letta's API this server does not do: one table, from which its routes are made; each answers 501."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from fastapi import APIRouter

from letta_kernel.server.errors import LeftOutError

LEFT_OUT: dict[str, tuple[str, dict[str, str]]] = {
    "access-tokens": (
        "Tokens are made on the server's machine: letta-kernel token new NAME.",
        {"/client-side-access-tokens": "GET POST", "/client-side-access-tokens/{token}": "DELETE"},
    ),
    "environments": (
        "Agents do not run on other machines from here.",
        {
            "/environments": "GET",
            "/environments/{device_id}": "GET",
            "/environments/{connection_id}/messages": "POST",
        },
    ),
    "messages": (
        "What was said is not changed afterwards here: say it anew, or reset the messages.",
        {"/groups/{group_id}/messages/{message_id}": "PATCH"},
    ),
    "providers": (
        "Providers and their keys are set in the environment of the server, which is then started again.",
        {"/providers": "POST", "/providers/{provider_id}": "PATCH DELETE"},
    ),
    "schedule": (
        "Messages cannot be scheduled here: use a timer of the notebook, or your system's.",
        {
            "/agents/{agent_id}/schedule": "GET POST",
            "/agents/{agent_id}/schedule/{scheduled_message_id}": "GET DELETE",
        },
    ),
    "templates": (
        "There are no templates here: export an agent and import it as often as you like.",
        {
            "/templates": "POST",
            "/templates/{template_name}": "PATCH DELETE",
            "/templates/{template_name}/rollback": "POST",
            "/templates/{template_name}/save": "POST",
            "/templates/{template_version}/agents": "POST",
        },
    ),
}
"""By subject: the sentence people get, and the paths with their methods."""

router = APIRouter()


def _add(subject: str, sentence: str, path: str, method: str) -> None:
    async def refuse(**given: str) -> None:
        raise LeftOutError(sentence)

    endpoint: Callable[..., Any] = refuse
    endpoint.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=str)
            for name in re.findall(r"{(\w+)}", path)
        ]
    )
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        tags=["left out"],
        summary=f"Not offered: {subject}",
        description=sentence,
        operation_id=f"left_out_{method}_{path}".lower().replace("/", "_").replace("-", "_"),
        status_code=501,
    )


for _subject, (_sentence, _paths) in LEFT_OUT.items():
    for _path, _methods in _paths.items():
        for _method in _methods.split():
            _add(_subject, _sentence, _path, _method)
