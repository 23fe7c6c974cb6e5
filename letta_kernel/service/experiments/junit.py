"""The results of an experiment as JUnit's XML, which continuous integration reads."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from letta_kernel import private
from letta_kernel.errors import StoreError
from letta_kernel.service.experiments.report import Report
from letta_kernel.service.experiments.results import Result

# All that XML 1.0 cannot hold.
_REFUSED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST = 4000  # characters of a text


def write(report: Report, file: Path) -> None:
    """Write a file of JUnit's form: a suite for each variant, a test for each run.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    root = ElementTree.Element("testsuites", name=_text(report.name))
    for figures in report.variants:
        results = [one for one in report.results if one.variant == figures.name]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_text(f"{report.name}.{figures.name}"),
            tests=str(len(results)),
            failures=str(sum(not one.passed and not one.outcome.error for one in results)),
            errors=str(figures.failed),
            time=f"{sum(map(_seconds, results)):.3f}",
        )
        for one in results:
            suite.append(_case(report.name, one))
    if report.unfinished:
        suite = ElementTree.SubElement(
            root, "testsuite", name="unfinished", tests="1", errors="1", failures="0"
        )
        test = ElementTree.SubElement(suite, "testcase", name="all runs are done")
        ElementTree.SubElement(test, "error", message=_text(report.verdict))
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    try:
        private.write(file, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    except OSError as problem:
        raise StoreError(f"{file} cannot be written: {problem.strerror}.") from None


def _case(name: str, one: Result) -> ElementTree.Element:
    again = f" [{one.repeat}]" if one.repeat > 1 else ""
    test = ElementTree.Element(
        "testcase",
        classname=_text(f"{name}.{one.variant}"),
        name=_text(f"{one.case}{again}"),
        time=f"{_seconds(one):.3f}",
    )
    if not one.passed:
        kind = "error" if one.outcome.error else "failure"
        problem = ElementTree.SubElement(test, kind, message=_text(one.why))
        problem.text = _text(f"answer: {one.outcome.answer}")
    return test


def _seconds(one: Result) -> float:
    return float(one.outcome.figures.get("seconds") or 0.0)


def _text(text: str) -> str:
    return _REFUSED.sub("\ufffd", text)[:_LONGEST]
