"""From a model's name to a request on the wire, here or by litellm's knowledge of providers.

Importing litellm takes seconds and 150 MB. So requests of OpenAI's, Anthropic's and Gemini's form are made here
(`openai_form`, `anthropic_form`, `gemini_form`) as far as model and parameters are known, and litellm is loaded
for the rest: its transformation of a request, sent over our own connection, for providers that speak one of
these protocols, and litellm.completion for all others. Measured against an instant server on loopback, a
streamed call at 1 / 200 messages: litellm.completion 12 / 62 ms, the openai client 2.3 / 36 ms, litellm's
transformation 0.8 / 1.9 ms.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from letta_kernel.models import anthropic_form, facts, gemini, gemini_form, keys, openai_form
from letta_kernel.models.base import ChatRequest
from letta_kernel.models.errors import Endpoint, ProviderError, missing_key
from letta_kernel.models.library import litellm, our_settings
from letta_kernel.models.providers import (
    CHAT_ADDRESSES,
    KEYLESS,
    PROVIDERS,
    missing_variable,
    ollama_base,
)
from letta_kernel.models.reasoning import mark_cache
from letta_kernel.models.refusals import Refused, refused_by
from letta_kernel.models.wire import Shaped
from letta_kernel.remedies import Do, remedy

_NO_KEY = frozenset({"fake-api-key", "dummy-key"})  # litellm's words for none
# Signed in by other means than a key in a variable; litellm would ask for more than is needed.
_OWN_SIGN_IN = frozenset({"bedrock", "sagemaker", "vertex_ai", "vertex_ai_beta", "github_copilot"})
_ANTHROPIC = "https://api.anthropic.com"

WireFormat = Literal["chat", "anthropic", "gemini", "litellm"]

_FORMS = {
    "chat": openai_form.request,
    "anthropic": anthropic_form.request,
    "gemini": gemini_form.request,
}
_LISTED = ("anthropic", "gemini")  # what a model of theirs takes is known by its row of the table
_LITELLMS = ("USE_LITELLM_PROXY", "MISTRAL_AZURE_API_BASE")  # which lead elsewhere
_DIRECT = frozenset({*openai_form.RULES, *_LISTED})
_Place = tuple[str, str, str | None, str]  # model, provider, key and address, as far as they say


@dataclass(frozen=True, slots=True)
class Route:
    """How one model is reached."""

    name: str  # as the user gives it
    provider: str
    model: str  # as the provider calls it
    wire_format: WireFormat
    endpoint: Endpoint
    base: str = ""
    key: str | None = None
    elsewhere: bool = False  # a host that may want no key

    @property
    def refused(self) -> Refused:
        """What this model has refused so far."""
        return refused_by(self.base or self.provider, self.model)

    def send(
        self, shaped: Shaped, params: dict[str, Any]
    ) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return URL, headers and body of a streamed request."""
        made = None
        if form := _FORMS.get(self.wire_format):
            made = form(self.provider, self.model, self.base, self.key, shaped, params)
        url, headers, body = made or self._by_litellm(shaped, params)
        if self.endpoint.variable == "ANTHROPIC_AUTH_TOKEN":  # goes in a header of its own
            headers.pop("x-api-key", None)
            headers["authorization"] = f"Bearer {self.key}"
        if self.wire_format == "anthropic":
            mark_cache(body)
        headers = {k: v for k, v in headers.items() if v is not None}
        if self.provider == "openai":
            headers |= _account()
        if self.key is None and self.elsewhere:
            headers.pop("Authorization", None)
            headers.pop("x-api-key", None)
        headers["Accept-Encoding"] = "identity"  # a compressed stream comes in clumps
        headers["Content-Type"] = "application/json"
        return url, headers, self._accepted(body)

    @our_settings()
    def _by_litellm(
        self, shaped: Shaped, params: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Return URL, headers and body as litellm makes them."""
        optional = _optional(self, shaped, params)
        asked = "thinking" in optional or "thinkingConfig" in optional
        messages = shaped.messages(asked=asked)
        headers: dict[str, Any] = {}
        if self.wire_format == "gemini":
            url, body = gemini.request_of(self.model, self.base, messages, optional)
            headers["x-goog-api-key"] = self.key
        else:
            url, headers, body = self._transformed(messages, optional)
            body["stream"] = True
        if self.wire_format == "anthropic":
            _name_format(body, headers)
        if isinstance(extra := body.pop("extra_body", None), dict):
            body |= extra
        return url, headers, body

    def _accepted(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return *body* without what the model has refused before."""
        refused = self.refused
        made = {
            refused.renamed.get(name, name): value
            for name, value in body.items()
            if name not in refused.parameters
        }
        if isinstance(inner := made.get("generationConfig"), dict):
            made["generationConfig"] = {
                name: value for name, value in inner.items() if name not in refused.parameters
            }
        return made

    def _transformed(
        self, messages: list[dict[str, Any]], optional: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Return URL, headers and body as litellm's configuration of the provider makes them."""
        config = _config(self.provider, self.model)
        limits: dict[str, Any] = {"custom_llm_provider": self.provider, "api_base": self.base}
        key = self.key
        if key is None and self.elsewhere:  # litellm insists on one; it is taken out again
            key = "none"
        headers = config.validate_environment(
            {}, self.model, messages, optional, limits, key, self.base
        )
        if self.wire_format == "anthropic":
            url = f"{self.base}/v1/messages"
        else:
            url = config.get_complete_url(
                self.base, self.key, self.model, dict(optional), limits, True
            )
        return (
            url,
            headers,
            config.transform_request(self.model, messages, optional, limits, headers),
        )


def resolve(name: str, request: ChatRequest, params: dict[str, Any]) -> Route:
    """Return the route to the model *name*.

    Raises
    ------
    ProviderError
        If no provider is known by that name, or its key or address is missing.
    """
    given_base: str | None = params.get("api_base")
    if not given_base and (variable := missing_variable(name)):
        raise missing_key(name, variable)
    if place := _place(name, given_base):
        return _route(name, place, request, params)
    try:
        with our_settings():  # only now, for importing it takes seconds
            return _route(name, _place_by_litellm(name, given_base), request, params)
    except httpx.ConnectError as error:  # certificates that cannot be read
        raise ProviderError("unreachable", f"{name}: {error}.", lasting=True) from None


def needs_library(name: str) -> bool:
    """Whether a call of the model *name* waits until litellm is imported."""
    place = _place(name, None)
    if place is None:
        return True
    model, provider, _, _ = place
    base = (
        PROVIDERS[provider].base_url() or CHAT_ADDRESSES[provider] if provider == "openai" else ""
    )
    return openai_form.by_responses(model, base, tools=True, effort="") is not False


def _place(name: str, given_base: str | None) -> _Place | None:
    """Return where the model *name* is, without litellm; None where that has to say."""
    provider, _, model = name.partition("/")
    if not model or provider not in _DIRECT or any(map(os.environ.get, _LITELLMS)):
        return None
    if any(row and "alias_of" in row for row in facts.table_rows(name)):
        return None
    if provider in _LISTED and not any(facts.table_rows(name)):
        return None
    if provider in PROVIDERS:
        return model, provider, None, given_base or ""
    variables = (f"{provider.upper()}_API_KEY", f"{provider.upper()}_API_BASE")
    key, base = (os.environ.get(variable) or "" for variable in variables)
    return model, provider, key or None, given_base or base


def _place_by_litellm(name: str, given_base: str | None) -> _Place:
    """Return model, provider, key and address as litellm finds them."""
    asked = name
    if name.startswith("ollama/"):  # its chat interface, which knows tools
        asked = f"ollama_chat/{name.removeprefix('ollama/')}"
    try:
        model, provider, key, base = litellm().get_llm_provider(model=asked, api_base=given_base)
    except Exception:
        raise ProviderError(
            "unknown_model",
            f"No provider is known for the model {name!r}: write provider/model, such as "
            "openai/gpt-5-mini.",
            remedy(Do.LIST_MODELS),
            lasting=True,
        ) from None
    return model, provider, key, base or ""


def _route(
    name: str,
    place: _Place,
    request: ChatRequest,
    params: dict[str, Any],
) -> Route:
    # Key and address each have four sources, which depend on each other: an address of one's own needs no
    # key.
    model, provider, key, base = place
    given_base: str | None = params.get("api_base")
    known = PROVIDERS.get(provider)
    base = (
        given_base
        or (known.base_url() if known else None)
        or base
        or CHAT_ADDRESSES.get(provider)
        or ""
    )
    if provider == "ollama_chat":
        base = given_base or ollama_base()
    variable = ""
    if known:
        variable = known.key_variable() or known.variable
        key = key or known.key()
    else:
        key = key or keys.of_provider(provider) or keys.of_provider(name.partition("/")[0])
    key = None if key in _NO_KEY else key
    elsewhere = (
        bool(given_base) or provider in KEYLESS or (known is not None and known.is_elsewhere())
    )
    if key is None and not elsewhere and provider not in _OWN_SIGN_IN:
        _check_key(name, variable)
    endpoint = Endpoint(
        model=name,
        provider=provider,
        variable=variable,
        base_variable=_base_variable(provider),
        host=_host(base),
    )
    wire_format = _wire_format(provider, model, base, request, params)
    if wire_format == "chat" and not base:
        raise ProviderError(
            "missing_key",
            f"{name} needs an address.",
            remedy(Do.SET_VARIABLE, f"{provider.upper()}_API_BASE"),
            lasting=True,
        )
    if wire_format == "gemini":
        base = (base or gemini.HOME).rstrip("/")
    elif wire_format == "anthropic":
        base = (base or _ANTHROPIC).rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return Route(name, provider, model, wire_format, endpoint, base, key, elsewhere)


def _check_key(name: str, variable: str) -> None:
    if variable:
        raise missing_key(name, variable)
    found = litellm().validate_environment(model=name)
    missing = [v for v in found.get("missing_keys") or () if isinstance(v, str)]
    if not found.get("keys_in_environment") and missing:
        raise missing_key(name, " and ".join(missing))


def _base_variable(provider: str) -> str:
    known = PROVIDERS.get(provider)
    for name in known.base_variables if known else (f"{provider.upper()}_API_BASE",):
        if os.environ.get(name):
            return name
    if provider == "ollama_chat":
        return "OLLAMA_HOST"
    return f"{provider.upper()}_API_BASE" if provider in KEYLESS else ""


def _host(base: str) -> str:
    parts = urlsplit(base)
    host = parts.hostname or ""
    try:
        return f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return base


def _wire_format(
    provider: str, model: str, base: str, request: ChatRequest, params: dict[str, Any]
) -> WireFormat:
    if provider == "anthropic":
        return "anthropic"
    if provider == "gemini":
        return "gemini"
    if provider not in CHAT_ADDRESSES:
        return "litellm"
    if provider == "openai" and _needs_responses(
        model, base, bool(request.tools), str(params.get("reasoning_effort") or "")
    ):
        return "litellm"
    return "chat"


@functools.lru_cache(maxsize=64)
def _needs_responses(model: str, base: str, tools: bool, effort: str) -> bool:
    """Whether OpenAI serves the model by its Responses API only; litellm translates to that."""
    known = openai_form.by_responses(model, base, tools=tools, effort=effort)
    if known is not None:
        return known
    check = getattr(litellm().main, "responses_api_bridge_check", None)
    if check is None:
        return False
    sample = [{"type": "function", "function": {"name": "x"}}] if tools else None
    with our_settings():
        info, _ = check(
            model=model,
            custom_llm_provider="openai",
            tools=sample,
            reasoning_effort=effort or None,
            api_base=None,
        )
    return bool(info.get("mode") == "responses")


@functools.lru_cache(maxsize=64)
def _config(provider: str, model: str) -> Any:
    module = litellm()
    manager = module.utils.ProviderConfigManager
    return manager.get_provider_chat_config(model, module.LlmProviders(provider))


def encoded(body: dict[str, Any]) -> bytes:
    """Return the bytes of a request's body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _optional(route: Route, shaped: Shaped, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters in the provider's words; what it does not support is left out."""
    optional: dict[str, Any] = litellm().utils.get_optional_params(
        model=route.model,
        custom_llm_provider=route.provider,
        tools=copy.deepcopy(shaped.tools) or None,  # litellm may change them
        tool_choice=shaped.tool_choice if shaped.tools else None,
        stream=True,
        stream_options={"include_usage": True},
        drop_params=True,
        **{k: v for k, v in params.items() if k != "api_base"},
    )
    return optional


def _name_format(body: dict[str, Any], headers: dict[str, Any]) -> None:
    """Say the form of the answer as Anthropic's own API does, where litellm still says it as its trial did."""
    body.pop("json_mode", None)  # a note of litellm's to itself
    if (form := body.pop("output_format", None)) is None:
        return
    body["output_config"] = {**(body.get("output_config") or {}), "format": form}
    trials = str(headers.pop("anthropic-beta", "")).split(",")
    if left := [one for one in trials if one and not one.startswith("structured-outputs")]:
        headers["anthropic-beta"] = ",".join(left)


def _account() -> dict[str, str]:
    found = {
        "OpenAI-Organization": os.environ.get("OPENAI_ORG_ID")
        or os.environ.get("OPENAI_ORGANIZATION"),
        "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID"),
    }
    return {name: value for name, value in found.items() if value}
