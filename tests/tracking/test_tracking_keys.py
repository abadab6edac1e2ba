"""Names and texts of a user's become such as MLflow takes, with one another's kept apart."""

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_param, _validate_tag

from rnnexp.tracking.keys import LONGEST_PARAM, LONGEST_TAG, experiment_folder, mlflow_key, mlflow_text

GOOD = ["eval/loss", "task.lag", "update_ratio/recurrent.Wh", "a b", "정확도", "map:3", "x-1", "a" * 250]
BAD = [
    "map@3", "map%3",
    "map=3", "map[3]", "map,3", "map+3", "map\n3", "map3\n", "map\t3", "map\x1b3", "map\x003", "map$3",
    "map\\3", "\udcff", "e\u0301", "", ".", "..", "/", "/map", "map/", "a//b", "./a", "a/./b", "a/../b", "../a", "...",
    "a" * 251, "a@" * 300, "a" * 250 + "@", "é" * 251, "a/" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_mlflow_takes_stays(name):
    _validate_metric_name(name)
    assert mlflow_key(name) == name


@pytest.mark.parametrize("name", BAD)
def test_any_other_name_is_made_such_a_one(name):
    fit = mlflow_key(name)
    _validate_metric_name(fit)
    _validate_param(fit, "1")
    _validate_tag(fit, "1")
    assert len(fit) <= 250
    assert mlflow_key(fit) == fit


def test_no_two_names_become_one_and_what_can_be_read_stays():
    assert len({mlflow_key(name) for name in [*BAD, *GOOD, "map_3"]}) == len(BAD) + len(GOOD) + 1
    assert mlflow_key("eval/map@3").startswith("eval/map_3-")
    assert mlflow_key("eval/map@3") != mlflow_key("eval/map%3")


@pytest.mark.parametrize("value", ["x" * 10_000, 10**5000, "a\0b", "\udcff" * 7000, None, [1, 2]], ids=range(6))
@pytest.mark.parametrize("most", [LONGEST_PARAM, LONGEST_TAG])
def test_every_value_becomes_a_text_that_can_be_stored(value, most):
    text = mlflow_text(value, most)
    assert len(text) <= most and "\0" not in text
    text.encode()


@pytest.mark.parametrize("name", ["rnnexp", "my experiment", "실험", "p%20q", "a#b?c", "x" * 200])
def test_an_experiment_that_can_name_a_folder_does(name):
    assert experiment_folder(name) == name


@pytest.mark.parametrize("name", ["x" * 201, "가" * 90, "가" * 500, "a/b", "..", ".", "/", "a\nb", "a\0b", "\udcff"])
def test_any_other_experiment_gets_a_folder_of_its_own(tmp_path, name):
    folder = experiment_folder(name)
    assert folder != experiment_folder(f"{name}.")
    (tmp_path / folder).mkdir()
    assert (tmp_path / folder).resolve().parent == tmp_path.resolve()
