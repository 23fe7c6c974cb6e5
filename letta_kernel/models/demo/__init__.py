"""The demo model, joined as the provider ``demo``: what answers when no model is configured."""

from __future__ import annotations

from letta_kernel.models.base import ChatModel
from letta_kernel.models.plugins import ModelInfo, ModelProvider


class Demo(ModelProvider):
    """``demo``, the only model of this name."""

    here = True

    def open(self, name: str) -> ChatModel:
        """Return the demo model."""
        from letta_kernel.models.demo.model import DemoModel

        return DemoModel()

    def models(self) -> list[ModelInfo]:
        """Return the demo model, with what it is."""
        from letta_kernel.models.demo.model import OFFER

        return [ModelInfo("demo", True, OFFER)]

    def context_window(self, name: str) -> int:
        """Return the demo model's window."""
        return 32_000

    def count_tokens(self, text: str) -> int:
        """Return an estimate: a token for four characters."""
        return -(-len(text) // 4)
