"""Tokens and money of a model call, from a provider's usage object in whatever dialect."""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.messages import Usage
from letta_kernel.models.facts import table_rows
from letta_kernel.models.library import litellm, our_settings
from letta_kernel.models.openai_form import RULES

# Those whose price is tokens times a row of the table; others have rules of their own in litellm.
_PLAIN_PRICES = frozenset({"anthropic", "gemini", *RULES})
_RATES = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost",
          "cache_creation_input_token_cost")  # fmt: skip
_STEP = re.compile(r"_above_(\d+)k_tokens$")
_OTHER_PRICES = ("tiered_pricing", "off_peak_pricing", "input_cost_per_second", "output_cost_per_second",
                 "cost_per_second")  # fmt: skip


def usage_of(name: str, provider: str, model: str, given: dict[str, Any] | None) -> Usage:
    """Return the usage a provider reported, with its cost if litellm's table has the price.

    *name* is the model as the user gives it, *model* as the provider does.
    """
    if not given:
        return Usage()
    tokens = _tokens(given)
    return Usage(**tokens, cost=_cost(name, provider, model, given, tokens))


def _cost(
    name: str, provider: str, model: str, given: dict[str, Any], tokens: dict[str, int]
) -> float | None:
    """Return US dollars, None if the price is not known."""
    if isinstance(paid := given.get("cost"), int | float):  # OpenRouter says it itself
        return float(paid)
    written = int(given.get("cache_creation_input_tokens") or 0)
    if (row := _row(provider, model)) is None and table_rows(name)[0] is None:
        return None
    if provider in _PLAIN_PRICES and row and "alias_of" not in row:
        if row.get("litellm_provider") != provider:
            return None  # another maker's of that name; GitHub's have no rows and are free at first
        if (cost := _price(row, tokens, written)) is not None:
            return cost
    return _price_of_litellm(provider, model, tokens, written)


def _row(provider: str, model: str) -> dict[str, Any] | None:
    row, short = table_rows(f"{provider}/{model}")
    return row or short


def _price(row: dict[str, Any], tokens: dict[str, int], written: int) -> float | None:
    """Return the price by a row of the table; None where the row has more to it than prices a token."""
    if any(key in row for key in _OTHER_PRICES):
        return None
    prompt = tokens["prompt_tokens"]
    rates = {name: row.get(name) for name in _RATES}
    steps = {int(found[1]) for key in row if (found := _STEP.search(key))}
    for step in sorted(steps):
        if prompt > step * 1000:
            for name in _RATES:
                rates[name] = row.get(f"{name}_above_{step}k_tokens", rates[name])
    fresh, out, read, write = rates.values()
    if fresh is None or out is None:
        return None
    cached = tokens["cached_tokens"]
    return float(
        max(prompt - cached - written, 0) * fresh
        + cached * (fresh if read is None else read)
        + written * (fresh if write is None else write)
        + tokens["completion_tokens"] * out
    )


def prompt_cost(name: str, cost: float | None, completion_tokens: int) -> float | None:
    """Return what of the *cost* of a call of the model *name* its prompt took; None where no table says."""
    if cost is None:
        return None
    provider, _, model = name.partition("/")
    row = _row(provider, model) or {}
    rate = row.get("output_cost_per_token")
    if not isinstance(rate, int | float) or any(key in row for key in _OTHER_PRICES):
        return None
    return max(0.0, cost - completion_tokens * rate)


def _price_of_litellm(
    provider: str, model: str, tokens: dict[str, int], written: int
) -> float | None:
    module = litellm()
    cached = tokens["cached_tokens"]
    with our_settings():
        counted = module.Usage(
            prompt_tokens=tokens["prompt_tokens"],
            completion_tokens=tokens["completion_tokens"],
            total_tokens=tokens["prompt_tokens"] + tokens["completion_tokens"],
            prompt_tokens_details=module.types.utils.PromptTokensDetailsWrapper(
                cached_tokens=cached, cache_creation_tokens=written
            ),
            cache_read_input_tokens=cached,
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
