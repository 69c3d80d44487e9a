"""Evidence as JSON: there and back, files of the earlier release, and one line for whatever is damaged."""

import copy
import json
from pathlib import Path

import pytest

from drasp.errors import DraspError
from drasp.evidence.lines import LINES, LeaveOneOut
from drasp.evidence.schema import KINDS, PENDING, Evidence, Gap
from drasp.lang.folder import load_program
from drasp.search.record import load_evidence
from sample_evidence import EXAMPLE, LANGUAGE, sample_evidence

PROGRAM = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")


@pytest.mark.parametrize("changed", [{}, {"examples": (EXAMPLE,), "language": LANGUAGE, "gaps": ()}, {"match": None, "reason": "no"}])
def test_evidence_comes_back_as_it_was(changed):
    evidence = sample_evidence(PROGRAM, **changed)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_what_does_not_apply_is_null_and_what_was_not_measured_is_left_out():
    data = sample_evidence(PROGRAM, mistakes=None).to_json()
    assert data["mistakes"] is None
    assert "language" not in data
    assert data["gaps"] == [{"kind": "language", "reason": "its budget ran out before it was done"}]
    assert data["off_task"]["one_token_edits"] is None
    assert "agreement" not in data["named"][0]
    assert data["passes"][0]["seconds"] == 0.1


def test_a_file_of_the_earlier_release_is_read():
    data = sample_evidence(PROGRAM, mistakes=None).to_json()
    for key in ("version", "gaps", "off_task", "examples"):
        del data[key]
    found = Evidence.from_json(data)
    assert (found.off_task, found.mistakes, found.version) == (None, None, 2)
    assert found.gaps == tuple(Gap(kind, "not recorded") for kind in ("examples", "off_task", "language"))
    assert not found.unfinished


def test_a_file_from_before_predictions_were_counted_without_each_line_is_read():
    data = sample_evidence(PROGRAM).to_json()
    assert {line.pop("stays") for line in data["lines"]} == {0.625}
    found = Evidence.from_json(data)
    assert found.lines is not None
    assert {(line.match, line.stays) for line in found.lines} == {(0.125, None)}
    assert {row.mark for row in found.rows(LINES)} == {"without it: match 0.125"}


@pytest.mark.parametrize(("stays", "said"), [(1.0, "1.00"), (0.99995, "over 0.99"), (0.9949, "0.99"), (0.996, "over 0.99"), (0.0, "0.00")])
def test_a_line_without_which_not_all_predictions_stay_is_not_said_to_change_none(stays, said):
    found = sample_evidence(PROGRAM, lines=(LeaveOneOut("a1", 0.99, stays),))
    assert [row.mark for row in found.rows(LINES)] == [f"without it {said} of predictions stay"]


@pytest.mark.parametrize("verdict", ["decompiled", "pruned", "not decompiled"])
def test_a_file_from_before_attention_was_measured_is_read(verdict):
    data = sample_evidence(PROGRAM, verdict=verdict).to_json()
    for key in ("attention", "matched_at"):
        del data[key]
    found = Evidence.from_json(data)
    assert (found.verdict, found.attention, found.matched_at) == (verdict, None, None)
    assert found.gaps[-1] == Gap("attention", "not recorded")
    assert Evidence.from_json(found.to_json()) == found


def test_a_run_that_lacks_kinds_or_was_interrupted_is_unfinished():
    assert sample_evidence(PROGRAM, gaps=(Gap("language", PENDING),)).unfinished
    assert sample_evidence(PROGRAM, interrupted=True).unfinished
    assert not sample_evidence(PROGRAM).unfinished


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("match", "bands", 1, "accuracy"), "high", "match.bands[1].accuracy: expected a number"),
        (("match", "bands", 1, "accuracy"), float("nan"), "match.bands[1].accuracy: expected a number"),
        (("match", "bands", 1, "sequences"), 10**400, "match.bands[1].sequences: expected a whole number"),
        (("seconds",), 10**400, "seconds: expected a number"),
        (("match", "all", "lengths"), [1], "match.all.lengths: expected a list of 2"),
        (("match",), [], "match: expected a JSON object"),
        (
            ("verdict",),
            "fine",
            "verdict: expected decompiled or imitated or decompiled below or imitated below or pruned or not decompiled",
        ),
        (("interrupted",), 0, "interrupted: expected true or false"),
        (("lines",), [{}], "lines[0].statement: it is missing"),
        (("lines",), {"a": 1}, "lines: expected a list"),
        (("settings",), {}, "settings.task: expected a text"),
        (("settings", "lengths"), "long", "settings.lengths: expected a list"),
        (("model", "weights"), 1, "model.weights: there is no such key"),
        (("never heard\nof",), 1, "'never heard\\nof': there is no such key"),
        (("baseline", "constant"), None, "baseline.constant: expected a JSON object"),
        (("version",), 3, "version: expected 2 at the most; a newer drasp may read it"),
        (("version",), [], "version: expected 2 at the most; a newer drasp may read it"),
        (("gaps",), 1, "gaps: expected a list"),
        (("gaps",), [{"kind": "language", "reason": "\ud800"}], "gaps[0].reason: expected a text"),
        (("baseline", "constant", "bands"), [], "match.bands: task, model_task and baseline must have the same"),
        (("task", "bands"), [], "match.bands: task, model_task and baseline must have the same"),
        (("examples",), [{**EXAMPLE.__dict__, "model": [3]}], "examples[0].tokens: expected a list"),
    ],
)
def test_what_is_damaged_is_told_in_one_line(place, value, says):
    data = copy.deepcopy(sample_evidence(PROGRAM).to_json())
    held = data
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    with pytest.raises(DraspError) as damaged:
        Evidence.from_json(data)
    assert str(damaged.value) == f"evidence.json is damaged: {says}"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 10_000, '{"verdict": 1}', "[]", "null", "\ud800"])
def test_a_file_that_is_no_evidence_is_told_in_one_line(text, tmp_path):
    (tmp_path / "evidence.json").write_text(text, errors="replace")
    if text == "null":
        assert load_evidence(tmp_path) is None
        return
    with pytest.raises(DraspError) as damaged:
        load_evidence(tmp_path)
    assert len(str(damaged.value).splitlines()) == 1


def test_every_kind_says_what_it_asks_how_and_at_what_cost():
    names = ["match", "attention", "interchange", "right", "mistakes", "lines", "examples", "off_task", "language"]
    assert [kind.name for kind in KINDS] == names
    for kind in KINDS:
        assert kind.question.endswith("?")
        assert kind.how.endswith(".")
        assert kind.runs(PROGRAM) >= 0
        assert kind.tuning.least > 0


def test_evidence_that_an_editor_saved_with_a_byte_order_mark_is_read(tmp_path):
    evidence = sample_evidence(PROGRAM)
    (tmp_path / "evidence.json").write_text("\ufeff" + json.dumps(evidence.to_json()), encoding="utf-8")
    assert load_evidence(tmp_path) == evidence
