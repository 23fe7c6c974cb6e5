"""Experiments: cases × variants × repeats, each run by an agent of its own, graded, kept, and compared.

`experiment_file` reads what is to be done, `datasets` the cases; `trial` lets one agent do one case, `graders`
judge what came of it, `runner` does all of them and keeps each in `results`; `report` and `statistics` say
what came out.
"""

from __future__ import annotations
