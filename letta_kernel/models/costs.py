"""Tokens and money of a model call, from a provider's usage object in whatever dialect."""

from __future__ import annotations

from typing import Any

from letta_kernel.messages import Usage


def usage_of(
    module: Any, name: str, provider: str, model: str, given: dict[str, Any] | None
) -> Usage:
    """Return the usage a provider reported, with its cost if litellm (*module*) knows the price.

    *name* is the model as the user gives it, *model* as the provider does.
    """
    if not given:
        return Usage()
    tokens = _tokens(given)
    return Usage(**tokens, cost=_cost(module, name, provider, model, given, tokens))


def _cost(
    module: Any, name: str, provider: str, model: str, given: dict[str, Any], tokens: dict[str, int]
) -> float | None:
    """Return US dollars, None if the price is not known."""
    if isinstance(paid := given.get("cost"), int | float):  # OpenRouter says it itself
        return float(paid)
    if name not in module.model_cost and model not in module.model_cost:
        return None
    written = given.get("cache_creation_input_tokens") or 0
    counted = module.Usage(
        prompt_tokens=tokens["prompt_tokens"],
        completion_tokens=tokens["completion_tokens"],
        total_tokens=tokens["prompt_tokens"] + tokens["completion_tokens"],
        prompt_tokens_details=module.types.utils.PromptTokensDetailsWrapper(
            cached_tokens=tokens["cached_tokens"], cache_creation_tokens=written
        ),
        cache_read_input_tokens=tokens["cached_tokens"],
        cache_creation_input_tokens=written,
    )
    try:
        parts = module.cost_per_token(
            model=model, custom_llm_provider=provider, usage_object=counted
        )
    except Exception:  # an answer does not fail because its price is not known
        return None
    return float(sum(parts))


def _tokens(usage: dict[str, Any]) -> dict[str, int]:
    def number(holder: Any, *names: str) -> int:
        for name in names:
            value = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(value, int | float) and value > 0:
                return int(value)
        return 0

    if "input_tokens" in usage and "prompt_tokens" not in usage:  # Anthropic
        read = number(usage, "cache_read_input_tokens")
        prompt = number(usage, "input_tokens") + read + number(usage, "cache_creation_input_tokens")
        return {
            "prompt_tokens": prompt,
            "completion_tokens": number(usage, "output_tokens"),
            "cached_tokens": read,
            "reasoning_tokens": number(usage.get("output_tokens_details"), "thinking_tokens"),
        }
    cached = number(usage.get("prompt_tokens_details"), "cached_tokens") or number(
        usage, "prompt_cache_hit_tokens", "cache_read_input_tokens"
    )
    return {
        "prompt_tokens": number(usage, "prompt_tokens"),
        "completion_tokens": number(usage, "completion_tokens"),
        "cached_tokens": cached,
        "reasoning_tokens": number(usage.get("completion_tokens_details"), "reasoning_tokens")
        or number(usage, "reasoning_tokens"),
    }
