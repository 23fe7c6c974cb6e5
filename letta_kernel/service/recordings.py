"""Recording what models answer, and answering from a recording: for every run of one service."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from letta_kernel import private
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import InvalidInputError
from letta_kernel.models.base import ChatModel, ModelError
from letta_kernel.models.destinations import destinations
from letta_kernel.models.record import Recording, RecordingModel, ReplayModel
from letta_kernel.models.registry import choose_model, open_model
from letta_kernel.models.written_calls import PromptedTools


class Recordings:
    """What stands between agents and their models: a recording of their answers, or one in their place.

    Attributes
    ----------
    wrap_model
        Is given every model that is opened, and returns the one to use in its place.
    stand_in
        Answers instead of any model: is given the name the agent or the person chose (None: none was
        chosen) and returns what to use. No model is looked for then.
    """

    def __init__(self) -> None:
        self.wrap_model: Callable[[ChatModel], ChatModel] | None = None
        self.stand_in: Callable[[str | None], ChatModel] | None = None

    def record(self, file: str | os.PathLike[str]) -> Path | None:
        """Write down all model calls from now on, in a recording that begins anew.

        Returns
        -------
        Path or None
            Where an older recording of this name was put, if there was one.

        Raises
        ------
        InvalidInputError
            The file is something else than a recording, or cannot be written. Nothing is changed.
        """
        path = Path(file).expanduser().resolve()
        aside = None
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder; name a file to record into.")
        if path.exists() and path.stat().st_size:
            try:
                Recording(path)
            except ModelError as error:
                raise InvalidInputError(
                    f"{path.name} exists and is no recording; choose another name. ({error})"
                ) from None
            aside = path.with_name(f"{path.name}~")
        try:
            private.folder(path.parent)
            if aside is not None:
                path.replace(aside)
            private.write(path, "")
        except OSError as problem:
            raise InvalidInputError(f"{path} cannot be written: {problem.strerror}.") from None
        self.stand_in = None
        self.wrap_model = lambda model: RecordingModel(model, path)
        return aside

    def replay(self, file: str | os.PathLike[str]) -> Recording:
        """Answer from a recording from now on: no model, key or network is needed.

        Raises
        ------
        ModelError
            The file cannot be read or is no recording. Nothing is changed.
        """
        recording = Recording(Path(file).expanduser().resolve())
        self.wrap_model = None
        self.stand_in = lambda name: ReplayModel(recording, name or recording.next_model())
        return recording

    def stop(self) -> None:
        """Record and replay no more."""
        self.wrap_model = self.stand_in = None

    def model_name(self, chosen: str | None) -> str:
        """Return the name of the model that would answer, *chosen* or None being what was asked for."""
        return self.stand_in(chosen).name if self.stand_in else choose_model(chosen)

    def destinations(self, chosen: str | None, settings: AgentSettings) -> list[str]:
        """Return to whom a message may go where *chosen* is asked for; empty for models of this machine."""
        if self.stand_in is not None:
            return []
        return destinations([choose_model(chosen), *settings.fallbacks])

    def open_model(
        self,
        chosen: str | None,
        settings: AgentSettings,
        wrap: Callable[[ChatModel], ChatModel] | None = None,
    ) -> ChatModel:
        """Return the model that answers where *chosen* (None: whichever there is) is asked for.

        *wrap* puts something between it and who asks, this time only.
        """
        if self.stand_in is not None:
            chat = self.stand_in(chosen)
        else:
            chat = open_model(choose_model(chosen), fallbacks=tuple(settings.fallbacks))
            if self.wrap_model is not None:
                chat = self.wrap_model(chat)
        if wrap is not None:
            chat = wrap(chat)
        if settings.context_window:
            chat.context_window = min(chat.context_window, settings.context_window)
        native = chat.supports_tools and settings.tool_calls == "native"
        return chat if native else PromptedTools(chat)
