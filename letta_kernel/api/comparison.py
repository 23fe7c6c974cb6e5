"""A comparison as the Python interface returns it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from letta_kernel.api.remedies import speaks_python
from letta_kernel.display.comparison import comparison_panel
from letta_kernel.errors import InvalidInputError
from letta_kernel.parallel import Watch
from letta_kernel.pictures.values import pictures_of
from letta_kernel.service import AgentService
from letta_kernel.service.compared import ComparedRun, Comparison
from letta_kernel.service.variants import Variant, variants
from letta_kernel.tools.execute import ToolHost

if TYPE_CHECKING:
    from pandas import DataFrame

_HOW = "comparison.keep(N) lets one go on as its agent; comparison.discard() throws all away."


@speaks_python
class Compared:
    """What came of one message to several variants; in a notebook it shows itself, a column for each.

    Attributes
    ----------
    comparison : all that is known of it.
    """

    def __init__(self, service: AgentService, comparison: Comparison, how: str = _HOW) -> None:
        self._service = service
        self._how = how
        self.comparison = comparison

    @property
    def runs(self) -> list[ComparedRun]:
        """The runs, by their numbers: the first is 1."""
        return list(self.comparison.runs)

    @property
    def variants(self) -> list[Variant]:
        """What was compared, one for each column."""
        return list(self.comparison.variants)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict for each run, in plain values."""
        return self.comparison.rows()

    def to_frame(self) -> DataFrame:
        """Return a DataFrame of pandas with one row for each run.

        Raises
        ------
        InvalidInputError
            pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InvalidInputError(
                "A DataFrame needs pandas (pip install pandas); .rows has the same as dicts.",
                page="library-missing",
            ) from None
        frame: DataFrame = pandas.DataFrame(self.rows)
        return frame

    @property
    def df(self) -> DataFrame:
        """The same as `to_frame`."""
        return self.to_frame()

    def keep(self, number: int) -> Compared:
        """Let the run of that number be its agent's own from now on; the others are thrown away."""
        self._service.compare.decide(self.comparison.id, number)
        return self

    def discard(self) -> Compared:
        """Throw all of them away; the agent stays as it is."""
        self._service.compare.decide(self.comparison.id, None)
        return self

    def __len__(self) -> int:
        return len(self.comparison.runs)

    def __repr__(self) -> str:
        return comparison_panel(self.comparison, self._how).text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return comparison_panel(self.comparison, self._how)._repr_mimebundle_()


def compared(
    service: AgentService,
    agents: Sequence[str],
    text: str,
    *,
    host: Callable[[str], ToolHost | None],
    models: Sequence[str] = (),
    instructions: Sequence[str] = (),
    settings: Sequence[dict[str, Any]] = (),
    memory: Sequence[bool] = (),
    tools: Sequence[str] = (),
    repeat: int = 1,
    pictures: Sequence[Any] = (),
    budget: float | None = None,
    budget_tokens: int | None = None,
    max_steps: int | None = None,
    at_once: int | None = None,
    watch: Watch = lambda share, text: None,
) -> Compared:
    """Send *text* to forks of *agents*, a variant for every combination of what is given.

    Parameters
    ----------
    models, instructions : in place of the agent's; ``"own"`` stands for those it has.
    settings : other settings, a dict for each variant; an empty one is as it is.
    memory : ``[True, False]``: with its memory, and without.
    tools : any of ``on``, ``memory`` (its memory tools alone) and ``off``.
    repeat : how often each variant answers.
    budget, budget_tokens : US dollars, and tokens, that all runs may take together.
    max_steps, at_once : model calls of a run, and runs at the same time.
    watch : is told how far it has come: a share and a text.

    Raises
    ------
    InvalidInputError
        A value is none, or there would be too many runs. Nothing is made.
    NotFoundError
        There is no such agent or model. Nothing is made.
    """
    chosen = variants(
        agents,
        models=models,
        instructions=instructions,
        settings=settings,
        memory=memory,
        tools=tools,
        called=lambda ref: service.agents.retrieve(ref).name,
    )
    comparison = service.compare.run(
        text,
        chosen,
        repeat=repeat,
        pictures=pictures_of(pictures) if pictures else (),
        budget=budget,
        budget_tokens=budget_tokens,
        max_steps=max_steps,
        at_once=at_once,
        host=host,
        watch=watch,
    )
    return Compared(service, comparison)
