"""What an experiment rests on: statistics on known cases, each grader, data sets, conversations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.service.experiments import (
    datasets,
    dialogues,
    experiment_file,
    graders,
    grading,
    runner,
    statistics,
)
from letta_kernel.service.experiments.cases import Call, Case, Grade, Outcome

# -- statistics -------------------------------------------------------------------------------------------


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(7)
    hits = 0
    for seed in range(60):
        low, high = statistics.interval((draw.random(40) < 0.7).astype(float), seed=seed)
        hits += low <= 0.7 <= high
    assert 52 <= hits <= 60
    low, high = statistics.interval([0.0] * 50 + [1.0] * 50)
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.02)
    assert statistics.interval([0.5]) == (0.0, 1.0)
    # Ten of ten is no certainty: Wilson's 0.72 to 1.
    assert statistics.interval([1.0] * 10) == pytest.approx((0.722, 1.0), abs=0.001)
    assert statistics.interval([0.0] * 10, bounds=(-1.0, 1.0)) == pytest.approx(
        (-0.278, 0.278), abs=0.001
    )
    assert statistics.wilson(8, 10) == pytest.approx((0.490, 0.943), abs=0.001)


def test_a_paired_test_gives_the_known_values() -> None:
    assert statistics.paired([]) == statistics.paired([0.0, 0.0]) == 1.0
    assert statistics.paired([1.0] * 5) == 2 / 2**5
    assert statistics.paired([1.0] * 6) == 2 / 2**6
    assert statistics.paired([1.0, -1.0]) == 1.0
    # McNemar's exact test of 9 against 1: two tails of a binomial.
    exact = 2 * sum(math.comb(10, n) for n in (0, 1)) / 2**10
    assert statistics.paired([1.0] * 9 + [-1.0]) == pytest.approx(exact)
    assert statistics.paired([1.0] * 30 + [-1.0] * 10) == pytest.approx(0.0022, abs=0.002)
    assert statistics.needed() == 6
    # Where nothing differs in truth, it says so as often as it claims.
    draw = np.random.default_rng(3)
    false = sum(statistics.paired(draw.choice([-1.0, 0.0, 1.0], 14)) <= 0.05 for _ in range(200))
    assert false <= 18


def test_several_tests_are_corrected_as_holm_does() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


# -- graders ----------------------------------------------------------------------------------------------


def graded(grader: dict[str, Any], answer: str, **of: Any) -> bool:
    expected = of.pop("expected", None)
    case = Case(id="case", messages=["?"], expected=expected)
    outcome = Outcome(case, answers=["first answer", answer], **of)
    return graders.read(grader, "Case").grade(outcome).passed


@pytest.mark.parametrize(
    ("grader", "answer", "passed"),
    [
        ({"kind": "exact", "expected": "42"}, " 42\n", True),
        ({"kind": "exact", "expected": "Yes", "case_matters": True}, "yes", False),
        ({"kind": "exact", "expected": "first  ANSWER", "turn": 1}, "no", True),
        ({"kind": "contains", "text": ["blue", "green"]}, "Blue and red", False),
        ({"kind": "contains", "text": ["blue", "green"], "any": True}, "Blue and red", True),
        ({"kind": "contains", "lacks": "sorry"}, "I am Sorry", False),
        ({"kind": "regex", "pattern": r"\b\d{3}-\d{4}\b"}, "call 555-1234 now", True),
        ({"kind": "regex", "pattern": "^x"}, "a\nx", False),
        ({"kind": "number", "value": 1234.5}, "It is 12, no: 1,234.5", True),
        ({"kind": "number", "value": 3, "tolerance": 0.2}, "about 3.19", True),
        ({"kind": "number", "value": 100, "relative": 0.05}, "106", False),
        ({"kind": "number", "value": -7, "which": "first"}, "−7 or 8", True),
        ({"kind": "number", "value": 7}, "no number, h7", False),
        ({"kind": "json", "fields": {"a.b.1": 2}}, '```json\n{"a": {"b": [1, 2]}}\n```', True),
        ({"kind": "json", "fields": {"a": 1}, "only": True}, '{"a": 1, "b": 2}', False),
        ({"kind": "json", "fields": {"a": 1}}, "[" * 100_000, False),
    ],
)
def test_answers_are_graded(grader: dict[str, Any], answer: str, passed: bool) -> None:
    assert graded(grader, answer) is passed


def test_memory_and_calls_are_graded() -> None:
    calls = [Call("add", {"a": 1, "note": "the Whole text"}, "ok", "2"), Call("add", None, "error")]
    state: dict[str, Any] = {
        "calls": calls,
        "before": {"human": "Kim"},
        "after": {"human": "Kim, in Oslo"},
        "kept": ["The key hangs left."],
    }
    checks = {
        True: [
            {"kind": "tool", "tool": "add", "times": 1},
            {"kind": "tool", "tool": "add", "times": 2, "ok": False},
            {"kind": "tool", "tool": "add", "arguments": {"a": 1, "note": "whole"}},
            {"kind": "block", "block": "human", "pattern": "oslo$"},
            {"kind": "block", "block": "human", "equals": "kim, in oslo", "lacks": []},
            {"kind": "passage", "contains": ["key", "left"]},
            {"kind": "passage", "lacks": "right"},
        ],
        False: [
            {"kind": "tool", "tool": "add", "arguments": {"a": 2}},
            {"kind": "tool", "tool": "add", "turn": 2},
            {"kind": "block", "block": "human", "contains": "Kim", "lacks": "Oslo"},
            {"kind": "passage", "contains": ["key", "right"]},
            {"kind": "unchanged"},
            {"kind": "found", "k": 1},
        ],
    }
    for passed, every in checks.items():
        for one in every:
            if one["kind"] == "found":
                with pytest.raises(InvalidInputError, match="names no evidence"):
                    graded(one, "", **state)
            else:
                assert graded(one, "", **state) is passed, one


def test_hostile_patterns_take_neither_time_nor_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "PATIENCE", 0.05)
    with pytest.raises(InvalidInputError, match="takes too long"):
        graded({"kind": "regex", "pattern": "(a|aa|a?)+$"}, "a" * 5000 + "b")
    for pattern, said in (
        ("(((x{999}){999}){999})", "repeats too much"),
        ("(", "cannot be read"),
        ("x" * 3000, "at most 2000|too long"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            graders.read({"kind": "regex", "pattern": pattern}, "Case")


def test_a_grader_that_is_none_is_named_in_a_line() -> None:
    for given, said in (
        ({"kind": "contain"}, "Did you mean 'contains'"),
        ({}, "a grader has a kind"),
        ({"kind": "exact", "txt": 1}, "Case, grader exact: 'txt'"),
        ({"kind": "number", "tolerance": -1}, "'tolerance'"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            graders.read(given, "Case")


# -- data sets --------------------------------------------------------------------------------------------


def test_a_data_set_is_read_from_what_people_have(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'id,question,answer,blocks,graders\nq1,"Who, then?",Kim,"{""human"": ""Kim""}",\n'
        'q2,Where?,,,"[{""kind"": ""contains"", ""text"": ""Oslo""}]"\n',
        "utf-8-sig",
    )
    first, second = datasets.read("a.csv", tmp_path)
    assert (first.id, first.messages, first.expected) == ("q1", ["Who, then?"], "Kim")
    assert (first.blocks, second.expected) == ({"human": "Kim"}, None)
    assert second.graders == [{"kind": "contains", "text": "Oslo"}]
    (tmp_path / "b.jsonl").write_text('{"messages": ["a", "b"], "expected": 3}\n\n{"input": "c"}\n')
    assert [one.messages for one in datasets.read(tmp_path / "b.jsonl")] == [["a", "b"], ["c"]]
    frame = pandas.DataFrame({"prompt": ["x", "y"], "ideal": [1.5, float("nan")]})
    assert [(one.id, one.expected) for one in datasets.read(frame)] == [("1", 1.5), ("2", None)]
    for name, text, said in (
        ("c.csv", "message\na,b\n", "more cells than columns"),
        ("d.jsonl", "{\n", "d.jsonl, line 1: no JSON"),
        ("e.json", "{}", "no list of cases"),
        ("f.json", '[{"messages": ["a"], "id": 1}, {"messages": ["b"], "id": "1"}]', "called '1'"),
        ("g.json", '[{"expected": 1}]', "Case 1: what is said is missing"),
        ("h.json", '[{"message": "a", "grades": 1}]', "Case 1: 'grades' is not a field"),
        ("i.json", '[{"messages": ["a", " "]}]', "empty message"),
        ("j.txt", "x", "is a .csv, .jsonl or .json file"),
        ("k.json", "[]", "has no cases"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidInputError, match=said):
            datasets.read(name, tmp_path)
    with pytest.raises(NotFoundError, match="Did you mean 'core-read'"):
        datasets.read("set:core-raed")


def test_tables_are_read_as_spreadsheets_and_frames_have_them(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("\ufeffID;Question;Answer\n1;a, b\u2028c;x\n", "utf-8")
    (case,) = datasets.read(file)
    assert (case.id, case.messages, case.expected) == ("1", ["a, b\u2028c"], "x")
    file.write_text('id,messages,blocks,target\n1,"[""a"",""b""]","{""human"":""x""}",4\n2,c,,\n')
    for given in (file, pandas.read_csv(file)):
        first, second = datasets.read(given)
        assert (first.id, first.messages, first.blocks) == ("1", ["a", "b"], {"human": "x"})
        assert (str(first.expected), second.expected) == ("4", None)
    lines = tmp_path / "cases.jsonl"
    lines.write_text('{"messages": ["a\u2028b\x85c"], "expected": "x"}\n', "utf-8")
    assert datasets.read(lines)[0].messages == ["a\u2028b\x85c"]
    with pytest.raises(InvalidInputError, match="what it has is text, label"):
        datasets.read([{"text": "a", "label": "b"}])


def test_a_grader_is_another_when_what_it_uses_in_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        'cases = [{messages = ["a"]}]\ngraders = [{kind = "python", function = "own.py:good"}]\n'
    )
    told = []
    for least in (3, 5):
        code = f"LEAST = {least}\ndef good(outcome):\n    return len(outcome.answer) > LEAST\n"
        (tmp_path / "own.py").write_text(code)
        plan = experiment_file.read(file, python=True)
        told.append(plan.grading(plan.cases[0]))
    assert told[0] != told[1]


def test_what_a_table_expects_as_json_is_compared_by_its_fields() -> None:
    case = Case(id="1", messages=["Who?"], expected='{"name": "Kim"}')
    grader = graders.read({"kind": "json"}, "it")
    assert grader.grade(Outcome(case, answers=['{"name": "Kim"}'])).passed
    assert not grader.grade(Outcome(case, answers=['{"name": "Ada"}'])).passed
    for score in (5.0, float("nan"), -1.0):
        with pytest.raises(InvalidInputError, match="a score from 0 to 1"):
            graders.as_grade(Grade(score, True), "own")


def test_an_experiment_file_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    (tmp_path / "a.csv").write_text("message,expected\nHi,Hi\n")
    good = 'data = "a.csv"\nthreshold = 0.5\n[budget]\ncost = 1\n[[variants]]\nmodel = "demo"\n'
    file.write_text(good)
    plan = experiment_file.read(file, repeats=3, budget={"seconds": 9.0})
    assert (plan.name, plan.repeats, plan.variants[0].name) == ("names", 3, "demo")
    assert (plan.budget.cost, plan.budget.seconds) == (1, 9.0)
    assert len(plan.trials()) == len({one.key for one in plan.trials()}) == 3
    for text, said in (
        ("data = ", "cannot be read"),
        ("", "There are no cases"),
        (f"{good}modle = 'x'\n", "Variant 1: 'modle' is not a field"),
        (f"{good}[[variants]]\nname = 'demo'\n", "Two variants are called 'demo'"),
        (f"{good}settings = {{temprature = 1}}\n", "no setting 'temprature'"),
        (f"{good}core_tools = ['x']\n", "no memory tool 'x'"),
        ('[[cases]]\nmessage = "x"\n', "Nothing says how the case '1' is graded"),
        (f"repeats = 0\n{good}", "'repeats'"),
        (f"dialogues = '{tmp_path}'\n{good}", "no conversation with questions"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidInputError, match=said):
            experiment_file.read(file)
    with pytest.raises(NotFoundError, match="set:memory"):
        experiment_file.read(tmp_path / "none.toml")


def test_the_sets_that_come_with_it_run_with_the_demo_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "none"))
    assert datasets.set_names() == ["archive", "core-read", "core-update", "core-write", "recall"]
    plan = experiment_file.read(Path("set:memory"), model="demo")
    assert len(plan.cases) == sum(len(datasets.of_set(one)) for one in datasets.set_names())
    assert {one.category for one in plan.cases} == set(datasets.set_names())
    assert all(datasets.about_set(one).endswith(".") for one in datasets.set_names())
    plan.cases = list({one.category: one for one in plan.cases}.values())  # one of each
    report = runner.run(plan, tmp_path / "out")
    assert (report.unfinished, report.variants[0].failed, report.variants[0].broken) == (0, 0, 0)
    assert report.variants[0].categories.keys() == set(datasets.set_names())
    assert report.variants[0].model == "demo"


# -- conversations ----------------------------------------------------------------------------------------


def test_conversations_are_searched_for_what_holds_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "none"))
    turns = [
        {"dia_id": f"D1:{n}", "date": "1:56 pm on 8 May, 2023", "speaker": "Kim"}
        | {"text": f"We talked about the weather on day {n}."}
        for n in range(30)
    ]
    turns[7]["text"] = "I bought a trombone."
    turns[20]["text"] = "My parrot is called Rosa."
    questions = [
        {
            "question": "What did Kim buy?",
            "answer": "a trombone",
            "category": "one",
            "evidence": ["D1:7"],
        },
        {"question": "What is the parrot called?", "category": 4, "evidence": ["D1:20", "D9:9"]},
        {"question": "And the unicorn?", "evidence": []},
    ]
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "talk.json").write_text(json.dumps({"turns": turns, "questions": questions}))
    (folder / "list.json").write_text("[1, 2]")
    plan = experiment_file.read(folder)
    report = runner.run(plan, tmp_path / "out")
    assert report.variants[0].graders == {"any@10": 1.0, "all@10": 0.5}
    assert report.variants[0].categories == {"one": 1.0, "4": 0.0}
    assert report.notes[:2] == [
        "Left out: list.json is no conversation.", "Left out: 1 questions without evidence.",
    ]  # fmt: skip
    (tmp_path / "answer.json").write_text(json.dumps({"dialogues": "talks", "mode": "answer"}))
    with pytest.raises(InvalidInputError, match="A model grades: name it"):
        experiment_file.read(tmp_path / "answer.json")


def test_locomos_own_file_is_read(tmp_path: Path) -> None:
    talk = {
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Kim", "dia_id": "D1:1", "text": "Hi.", "blip_caption": "a cat"}],
        "session_2_date_time": "2:00 pm on 9 May, 2023",
        "session_2": [{"speaker": "Lee", "dia_id": "D2:1", "text": "Ho."}],
    }
    asked = [
        {"question": " ", "evidence": ["D1:1"]},
        {"question": "Who?", "answer": "Kim", "evidence": ["D1:1"], "category": 2},
    ]
    file = tmp_path / "locomo.json"
    file.write_text(json.dumps([{"sample_id": "conv-1" * 40, "conversation": talk, "qa": asked}]))
    (found,), left_out = dialogues.read(file)
    assert (left_out, found.left_out, found.cases()[0].category) == ([], 1, "temporal")
    assert found.cases()[0].dialogue == found.name
    first, second = found.passages()
    assert (first.content, second.content) == ("Kim: Hi. [a cat]", "Lee: Ho.")
    assert first.created_at.isoformat() == "2023-05-08T13:56:00+00:00"
