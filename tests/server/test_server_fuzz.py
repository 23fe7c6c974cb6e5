"""Whatever the OpenAPI document allows to be sent, the server does not fail, and answers as it says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from server_bench import Server

EXAMPLES = 1  # per operation: `st run` against a server finds more


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_input_makes_it_fail(server: Server) -> None:
    import schemathesis  # here, since every process of the tests imports this module

    server.service.agents.create("ada")
    schema = schemathesis.openapi.from_url(
        server.url + "/openapi.json", headers=server.headers, timeout=60
    )
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/v1/mcp-servers"):
            continue  # would start programs and ask servers
        _try(operation, server)
        tried += 1
    assert tried > 100


def _try(operation: Any, server: Server) -> None:
    from hypothesis import HealthCheck, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def once(case: Any) -> None:
        answer = case.call(headers=server.headers, timeout=60)
        checks = [content_type_conformance]
        if operation.path.startswith("/v1/"):  # OpenAI's has errors of its own form
            checks.append(status_code_conformance)
        if answer.status_code not in (501, 502, 503):  # said on purpose
            checks.append(not_a_server_error)
        case.validate_response(answer, checks=checks)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        once()
