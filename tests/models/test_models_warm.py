"""What heavy libraries say while they are imported in the background is not a cell's output."""

import subprocess
import sys

import pytest

SCRIPT = """
{before}
from typing_extensions import ReadOnly, TypedDict
import pydantic, warnings
class Types(TypedDict):
    size: ReadOnly[int]
pydantic.TypeAdapter(Types)
warnings.warn("of the user's own")
"""


@pytest.mark.parametrize(
    ("before", "said"), [("", True), ("import letta_kernel.warm", False)], ids=["without", "with"]
)
def test_pydantics_remarks_on_others_types_are_left_out(before: str, said: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert ("ReadOnly" in done.stderr) is said
    assert "of the user's own" in done.stderr
