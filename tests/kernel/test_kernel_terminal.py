"""A terminal: ``ipython`` with ``%load_ext letta_kernel``, a person who types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FUNCTION = """def weather(city: str) -> str:
    '''The weather.

    Args:
        city: Where.
    '''
    print('looking')
    return 'sunny in ' + city
"""
TYPED = f"""\
%load_ext letta_kernel
%agent new ada --model demo
from letta_kernel import Agent
ada = Agent("ada")
ada.memory
get_ipython().run_cell({FUNCTION!r}, store_history=True)
%agent tools approve weather on
get_ipython().run_cell_magic("agent", "", "What is the weather in Rome?")
y
%agent plot
ada.memory["nothing"]
"""


def test_a_run_is_followed_and_approved_by_typing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "IPython", "--quick", "--no-banner", "--simple-prompt"]
    ended = subprocess.run(
        [*command, "--colors=NoColor"],
        input=TYPED,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "LETTA_HOME": str(tmp_path / ".letta")},
    )
    out = ended.stdout
    assert "persona  [" in out
    assert "◇ weather(" in out
    assert "Allow weather(city='Rome')?" in out
    assert "      | looking" in out
    assert "✓ weather(" in out
    assert out.count("sunny in Rome") >= 2  # the result, and the answer
    assert "end_turn]" in out
    assert "Tokens of each step of ada" in out
    assert "ada has no memory block 'nothing'" in out
    assert "Traceback" not in out
