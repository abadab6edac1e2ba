from inspect import signature

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.gradients import GradientStudy


def test_the_defaults_are_the_cheap_study():
    defaults = {name: parameter.default for name, parameter in signature(GradientStudy).parameters.items()}
    assert defaults == {
        "every": None,
        "sequences": 20,
        "max_length": 200,
        "tolerance": 0.1,
        "truncation": True,
        "draws": 5,
        "snr_batches": 0,
        "staleness_steps": 200,
        "jacobians": False,
        "lag_split": False,
        "lyapunov_exponents": 0,
    }
    study = GradientStudy()
    assert {name: getattr(study, name) for name in defaults} == defaults


def test_values_are_kept():
    given = {
        "every": 7,
        "sequences": 1,
        "max_length": 1,
        "tolerance": 1e-9,
        "truncation": False,
        "snr_batches": 2,
        "staleness_steps": 0,
        "jacobians": True,
        "lag_split": True,
        "lyapunov_exponents": 5,
    }
    study = GradientStudy(**given)
    assert {name: getattr(study, name) for name in given} == given
    assert type(GradientStudy(every=np.int64(3), tolerance=1).tolerance) is float


def test_an_interval_that_is_none_is_refused():
    for value in (0, -1, 2.0, 0.5, "5", True, False, [1], np.nan):
        with pytest.raises(InvalidValue, match=r"^every must be a whole number >= 1, got "):
            GradientStudy(every=value)


def test_a_tolerance_that_is_none_is_refused():
    for value in (0, 0.0, -0.1, np.nan, np.inf, "0.1", None, True):
        with pytest.raises(InvalidValue, match=r"^tolerance must be a number > 0, got "):
            GradientStudy(tolerance=value)


@pytest.mark.parametrize("key", ["truncation", "jacobians", "lag_split"])
def test_switches_are_true_or_false(key):
    for value in (0, 1, "true", "yes", None, 1.0, [True]):
        with pytest.raises(InvalidValue, match=rf"^{key} must be true or false, got "):
            GradientStudy(**{key: value})


@pytest.mark.parametrize("value", [-1, 1.0, "3", True, False])
def test_a_number_of_exponents_that_is_none_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^lyapunov_exponents must be a whole number >= 0, got "):
        GradientStudy(lyapunov_exponents=value)


@pytest.mark.parametrize(("hidden_size", "count"), [(1, 1), (2, 2), (3, 3), (4, 3), (100, 3)])
def test_without_a_number_there_are_three_or_all_of_a_smaller_layer(hidden_size, count):
    assert GradientStudy(lyapunov_exponents=None).exponents(hidden_size) == count


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_a_number_up_to_the_hidden_size_is_taken(count):
    assert GradientStudy(lyapunov_exponents=count).exponents(5) == count


def test_a_number_beyond_the_hidden_size_is_refused():
    study = GradientStudy(lyapunov_exponents=6)
    with pytest.raises(InvalidValue, match=r"^lyapunov_exponents must be <= hidden_size, which is 5, got 6$"):
        study.exponents(5)


def test_one_batch_has_no_scatter():
    with pytest.raises(InvalidValue, match=r"^snr_batches must be >= 2, or 0 for none, got 1\n.*try 10$"):
        GradientStudy(snr_batches=1)
    with pytest.raises(InvalidValue, match=r"^snr_batches must be <= 10000, got 10001\n.*try 10$"):
        GradientStudy(snr_batches=10001)


@pytest.mark.parametrize("key", ["snr_batches", "staleness_steps"])
def test_numbers_of_batches_and_steps_that_are_none_are_refused(key):
    for value in (-1, 2.5, "3", None, True):
        with pytest.raises(InvalidValue, match=rf"^{key} must be a whole number >= 0, got "):
            GradientStudy(**{key: value})
