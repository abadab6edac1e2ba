"""Rules of settings that are plain data."""

import pytest

from rnnexp.checks import FORMATS, InvalidValue, check_formats
from rnnexp.run_info import own_tags
from rnnexp.settings import check_tags, formats_of


@pytest.mark.parametrize(
    "tags", [None, {}, {"course": "rnn101"}, {"a/b c": "x", "year": 2026, "rate": 0.5, "ok": True}]
)
def test_tags_that_are_data_are_taken(tags):
    check_tags(tags)


def test_tags_are_text():
    assert own_tags({"tags": {"a": "x", "year": 2026, "ok": True}}) == {"a": "x", "year": "2026", "ok": "true"}
    assert own_tags({"tags": None}) == {}


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ("rnn101", "tracking.tags must be strings by name, or null, got rnn101"),
        (["course"], "tracking.tags must be strings by name, or null, got ['course']"),
        ({"course": None}, "tracking.tags.course must be a string, got null"),
        ({"course": {"a": "b"}}, "tracking.tags.course must be a string, got {'a': 'b'}"),
        ({"course": "x" * 5001}, "tracking.tags.course must be a string of at most 5000 characters, got "),
        ({"a=b": "x"}, "a name in tracking.tags must be a name of at most 250 letters, digits and the signs"),
        ({"": "x"}, "a name in tracking.tags must be a name of"),
        ({"../a": "x"}, "a name in tracking.tags must be a name of"),
        ({"a" * 251: "x"}, "a name in tracking.tags must be a name of"),
        ({3: "x"}, "a name in tracking.tags must be a name of"),
        ({"mlflow.runName": "x"}, "a name in tracking.tags must be another name than one of mlflow., rnnexp., "),
        ({"rnnexp.kind": "x"}, "a name in tracking.tags must be another name than one of"),
        ({"error": "x"}, "a name in tracking.tags must be another name than one of"),
    ],
)
def test_other_tags_are_refused_in_two_lines(tags, problem):
    with pytest.raises(InvalidValue) as caught:
        check_tags(tags)
    first, hint = str(caught.value).splitlines()
    assert first.startswith(problem) and hint


def test_formats_are_taken_once_each_and_are_png_where_none_are_given():
    check_formats("tracking.formats", list(FORMATS))
    check_formats("tracking.formats", None)
    assert formats_of({"formats": ["pdf", "png", "pdf"]}) == ["pdf", "png"]
    assert formats_of({"formats": None}) == formats_of({}) == ["png"]


@pytest.mark.parametrize(
    ("formats", "got", "hint"),
    [
        (["png", "eps"], "eps", "pdf is for print"),
        (["PNG"], "PNG", "did you mean 'png'"),
        (["gif"], "gif", "'tif'"),
        (["docx"], "docx", "pdf is for print"),
        ("pdf", "pdf", "for example 'tracking.formats=[png,pdf]'"),
        ([], "[]", "for example 'tracking.formats=[png,pdf]'"),
        ([["png"]], "['png']", "did you mean 'png'?"),
        ({"png": True}, "{'png': True}", "for example"),
    ],
)
def test_other_formats_are_refused_in_two_lines(formats, got, hint):
    with pytest.raises(InvalidValue) as caught:
        check_formats("tracking.formats", formats)
    first, second = str(caught.value).splitlines()
    assert first == f"tracking.formats must be a list of formats among png, pdf, svg, jpg, tif, webp, got {got}"
    assert hint in second
