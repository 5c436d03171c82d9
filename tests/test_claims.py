"""A claim is asserted on the planted world and where a record holds it, said elsewhere, and looked at in a rehearsal."""

import json
import re
from dataclasses import replace

import course
import nbformat
import pytest

from helpers import claims, profiles, records
from helpers.stats import Rate

TINY = profiles.TINY
BASE, INSTRUCT = "SmolLM2-135M", "SmolLM2-135M-Instruct"
REAL = replace(TINY, name="real", planted=False, sizes=(BASE,), sources={BASE: f"HuggingFaceTB/{BASE}"})
TUNED = replace(REAL, sizes=(INSTRUCT,), sources={INSTRUCT: f"HuggingFaceTB/{INSTRUCT}"})
NAME, BASE_ONLY, NOT_EXPECTED = "01 shots", "01 continues", "01 labels"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "SEEN", {})
    of = records.of
    monkeypatch.setattr(records, "of", lambda notebook, profile, folder=tmp_path: of(notebook, profile, folder))
    monkeypatch.setenv("COURSE_RECORD", "1")
    monkeypatch.delenv("COURSE_HUB", raising=False)
    return tmp_path


def test_on_the_planted_world_a_claim_that_fails_is_an_error():
    claims.check(NAME, 0.31, TINY)
    assert claims.SEEN == {NAME: True}
    with pytest.raises(AssertionError, match=r"01 shots: lists continued exactly.*: 0\.29, not 0\.30 or more"):
        claims.check(NAME, 0.29, TINY)


@pytest.mark.parametrize(("figure", "said"), [(0.21, "0.21, which held here"), (0.19, "0.19, which did not hold here")])
def test_on_a_real_model_without_a_record_it_is_said_and_the_notebook_goes_on(capsys, figure, said):
    claims.check(NAME, figure, REAL)
    assert claims.SEEN[NAME] == (figure > 0.2)
    assert said in capsys.readouterr().out


def test_where_a_record_holds_it_a_claim_that_fails_is_an_error(runs):
    claims.check(NAME, 0.5, REAL)
    records.store("01", REAL, 0, 1.0, {"claims": claims.SEEN}, runs)
    claims.check(NAME, 0.21, REAL)
    with pytest.raises(AssertionError, match=r"not 0\.20 or more"):
        claims.check(NAME, 0.19, REAL)
    other = replace(REAL, budget=profiles.PROCESSORS)
    claims.check(NAME, 0.19, other)  # the record is of another budget


def test_what_did_not_hold_when_it_was_recorded_is_not_asserted(runs, capsys):
    claims.check(NAME, 0.1, REAL)
    records.store("01", REAL, 0, 1.0, {"claims": claims.SEEN}, runs)
    claims.check(NAME, 0.1, REAL)
    assert "did not hold here" in capsys.readouterr().out


def test_what_is_not_expected_of_small_models_is_never_asserted_of_them(runs, capsys):
    claims.check(NOT_EXPECTED, 0.9, REAL)
    records.store("01", REAL, 0, 1.0, {"claims": claims.SEEN}, runs)
    claims.check(NOT_EXPECTED, 0.0, REAL)
    assert "not expected of models of this size" in capsys.readouterr().out


def test_what_is_not_expected_of_the_planted_model_is_said(capsys):
    claims.check("05 new task", 0.0, TINY)
    assert "not expected of the planted model" in capsys.readouterr().out and claims.SEEN == {"05 new task": False}


def test_a_model_that_its_makers_tuned_says_nothing_of_base_models(runs, capsys):
    claims.check(BASE_ONLY, 1.0, TUNED)
    records.store("01", TUNED, 0, 1.0, {"claims": claims.SEEN}, runs)
    claims.check(BASE_ONLY, 0.0, TUNED)
    assert capsys.readouterr().out.count("says nothing") == 2


def test_in_a_rehearsal_a_claim_is_looked_at_and_no_more(capsys):
    claims.check(NAME, -1.0, replace(REAL, rehearsal=True))
    assert capsys.readouterr().out == "" and claims.SEEN == {NAME: False}


def test_the_table_and_the_notebooks_have_the_same_claims():
    checked = []
    for path in course.NOTEBOOKS:
        code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        names = re.findall(r'claims\.check\(\s*"(.+?)"', code)
        assert all(name.startswith(path.name[:2]) for name in names)
        checked += names
    assert sorted(checked) == sorted(claims.CLAIMS)
    assert all(None in (claim.tiny, claim.real) or claim.real <= claim.tiny for claim in claims.CLAIMS.values())


def test_a_record_comes_out_of_its_file_as_it_went_in(tmp_path, capsys):
    figures = {"lists": {"capital": {"4 shots": Rate.of([1, 0, 1])}}, "shots": [0, 1], "best": 0.5}
    kept = records.store("01", REAL, 3, 12.4, figures, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["01-cpu-3.json"]
    assert records.read("01", tmp_path) == [kept] and kept.figures == figures and kept.about["seconds"] == 12
    said = str(kept)
    assert said.startswith("HuggingFaceTB/SmolLM2-135M (the hub, revision unpinned) on ") and said.endswith(", seed 3")
    assert records.of("01", REAL, tmp_path) == [kept] and records.of("01", TUNED, tmp_path) == []


@pytest.mark.parametrize(("profile", "wanted"), [(TINY, "1"), (replace(REAL, rehearsal=True), "1"), (REAL, "0")])
def test_nothing_else_is_written(tmp_path, monkeypatch, profile, wanted):
    monkeypatch.setenv("COURSE_RECORD", wanted)
    records.store("01", profile, 0, 1.0, {"a": 1}, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_damaged_record_is_said(tmp_path, course_error):
    (tmp_path / "01-cpu-0.json").write_text("{")
    with course_error("01-cpu-0.json", "is no record", "git checkout"):
        records.read("01", tmp_path)


def test_every_record_of_the_course_says_what_it_is_of():
    for file in course.tracked("notebooks/runs/*.json"):
        about = json.loads(file.read_text(encoding="utf-8"))["about"]
        assert set(about) == set(records.about(REAL, 0, 0)) and all(about["origin"])
        assert file.name == f"{file.name[:2]}-{about['device']}-{about['seed']}.json" and about["profile"] == "real"
        assert "/" not in about["machine"]
