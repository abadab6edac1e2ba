import pickle
from fractions import Fraction

import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError, integer, nearest, number, one_of, show


def refusal(check, *args, **kwargs):
    with pytest.raises(InvalidValue) as caught:
        check(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize("value", [3, np.int64(3), np.int32(3), np.uint8(3)])
def test_whole_numbers_come_back_as_int(value):
    result = integer("hidden_size", value, at_least=3)
    assert result == 3
    assert type(result) is int


@pytest.mark.parametrize("value", [0, -5, 1.0, 1.5, "3", "", None, True, np.True_, np.float64(3), [3], 3 + 0j])
def test_what_is_no_whole_number_or_too_small_is_refused(value):
    error = refusal(integer, "hidden_size", value, at_least=1)
    assert str(error).startswith("hidden_size must be a whole number >= 1, got ")
    assert error.key == "hidden_size"
    assert error.value is value
    assert error.allowed == "a whole number >= 1"


def test_the_least_whole_number_may_be_zero_or_below():
    assert integer("seed", 0, at_least=0) == 0
    assert integer("offset", -2, at_least=-2) == -2
    refusal(integer, "offset", -3, at_least=-2)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), Fraction(2)])
def test_numbers_come_back_as_float(value):
    result = number("x", value)
    assert result == 2.0
    assert type(result) is float


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), np.nan, "1", None, True, False, 1j, [1.0]]
)
def test_what_is_no_finite_number_is_refused(value):
    assert str(refusal(number, "x", value)).startswith("x must be a number, got ")


@pytest.mark.parametrize(
    ("bounds", "allowed", "accepted", "refused"),
    [
        ({"above": 0}, "a number > 0", [1e-300, 5], [0, -1e-300]),
        ({"at_least": 0}, "a number >= 0", [0, 5], [-1e-300]),
        ({"below": 1}, "a number < 1", [0.999, -5], [1, 1.5]),
        ({"above": 0, "below": 1}, "a number > 0 and < 1", [0.5], [0, 1]),
        ({"at_least": 0, "below": 1}, "a number >= 0 and < 1", [0, 0.5], [-0.1, 1]),
        ({"above": 0.25}, "a number > 0.25", [0.26], [0.25]),
    ],
)
def test_bounds_are_kept_and_told(bounds, allowed, accepted, refused):
    for value in accepted:
        assert number("x", value, **bounds) == value
    for value in refused:
        error = refusal(number, "x", value, **bounds)
        assert error.allowed == allowed
        assert str(error) == f"x must be {allowed}, got {value}"


def test_a_number_too_large_for_a_float_is_refused():
    assert str(refusal(number, "learning_rate", 10**400, above=0)).startswith("learning_rate must be a number > 0")


def test_a_choice_comes_back_and_another_is_refused_with_the_choices():
    choices = {"tanh": 1, "relu": 2, "identity": 3}
    assert one_of("activation", "relu", choices) == "relu"
    error = refusal(one_of, "activation", "tan", choices)
    assert str(error) == "activation must be one of tanh, relu, identity, got tan\ndid you mean 'tanh'?"


@pytest.mark.parametrize("value", [None, True, 3, [], "zzzzzz", ""])
def test_a_choice_that_is_near_to_none_has_no_hint(value):
    error = refusal(one_of, "activation", value, ("tanh", "relu"))
    assert error.hint == ""
    assert "\n" not in str(error)


KNOWN = [
    "hidden_size",
    "learn_initial_state",
    "bptt_length",
    "task.lag",
    "task.length",
    "optimizer.learning_rate",
    "clipping.threshold",
]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("hiden_size", "hidden_size"),
        ("bptt_lenght", "bptt_length"),
        ("task.lg", "task.lag"),
        ("lag", "task.lag"),
        ("learning_rate", "optimizer.learning_rate"),
        ("lr", "optimizer.learning_rate"),
        ("optimizer.lr", "optimizer.learning_rate"),
        ("optimizer.learning_rat", "optimizer.learning_rate"),
        ("clipping.treshold", "clipping.threshold"),
    ],
)
def test_the_nearest_known_word_is_suggested(word, found):
    assert nearest(word, KNOWN) == f"did you mean '{found}'?"


@pytest.mark.parametrize("word", ["zzz", "task.zzzzz", "", "optimizer.qqqq"])
def test_nothing_is_suggested_when_nothing_is_near(word):
    assert nearest(word, KNOWN) == ""


def test_no_known_words_and_a_generator_of_them():
    assert nearest("lag", []) == ""
    assert nearest("hiden_size", iter(KNOWN)) == "did you mean 'hidden_size'?"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.1, "0.1"),
        (1e30, "1e+30"),
        ("abc", "abc"),
        ("two words", "two words"),
        ("가나다", "가나다"),
        ("", "''"),
        ("  ", "'  '"),
        ("a\nb", "'a\\nb'"),
        ("\x1b[31m", "'\\x1b[31m'"),
        ([1, "a"], "[1, 'a']"),
        ({"a": None}, "{'a': None}"),
    ],
)
def test_values_are_shown_as_a_person_writes_them(value, text):
    assert show(value) == text


@pytest.mark.parametrize("value", [np.int64(3), np.float64(3), np.float32(3)])
def test_numpys_numbers_are_shown_without_their_type(value):
    assert show(value) in ("3", "3.0")


@pytest.mark.parametrize("value", ["x" * 1000, list(range(1000)), {"key": "y" * 500}])
def test_long_values_are_cut(value):
    assert len(show(value)) == 80
    assert show(value).endswith("...")
    assert len(show(value, width=20)) == 20


def test_a_value_of_just_the_width_is_whole():
    assert show("x" * 80) == "x" * 80


def test_a_value_is_shown_on_one_line():
    assert "\n" not in show(np.zeros((2, 2)))


def test_the_message_names_key_value_and_rule_and_ends_with_the_hint():
    error = InvalidValue("lag", -1, "a whole number >= 1", "try 8")
    assert str(error) == "lag must be a whole number >= 1, got -1\ntry 8"
    assert (error.key, error.value, error.allowed, error.hint) == ("lag", -1, "a whole number >= 1", "try 8")
    assert str(InvalidValue("lag", None, "given")) == "lag must be given, got null"


def test_hints_are_passed_on():
    assert refusal(integer, "x", 0, at_least=1, hint="try 2").hint == "try 2"
    assert refusal(number, "x", None, hint="try 3").hint == "try 3"
    assert refusal(number, "x", -1, above=0, hint="try 3").hint == "try 3"


def test_an_invalid_value_is_a_value_error_and_a_persons_error():
    error = InvalidValue("lag", -1, "a whole number >= 1")
    assert isinstance(error, ValueError)
    assert isinstance(error, UserError)


def test_the_key_can_be_put_under_its_group():
    error = InvalidValue("lag", -1, "a whole number >= 1", "try 8").under("task")
    assert str(error) == "task.lag must be a whole number >= 1, got -1\ntry 8"
    assert error.key == "task.lag"
    assert str(error.under("a")) == "a.task.lag must be a whole number >= 1, got -1\ntry 8"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(protocol):
    error = InvalidValue("lag", [-1, None], "a whole number >= 1", "try 8")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is InvalidValue
    assert str(again) == str(error)
    assert (again.key, again.value, again.allowed, again.hint) == ("lag", [-1, None], "a whole number >= 1", "try 8")
    plain = pickle.loads(pickle.dumps(UserError("a problem", "a hint"), protocol))
    assert type(plain) is UserError
    assert (plain.problem, plain.hint) == ("a problem", "a hint")


def test_a_persons_error_is_told_in_lines_for_the_terminal():
    told = UserError("unknown key 'x'", "did you mean 'y'?").message()
    assert told == "rnnexp: unknown key 'x'\ndid you mean 'y'?"
    first, *_ = UserError("a problem").message().splitlines()
    assert first == "rnnexp: a problem"
    assert str(UserError("a problem")) == "a problem"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("0-4", "range(0,5)"),
        ("0..4", "range(0,5)"),
        ("0:5", "range(0,5)"),
        ("5:30:5", "range(5,30,5)"),
        ("5-", ""),
        ("1-5:2", ""),
    ],
)
def test_what_is_typed_as_a_range_is_answered_with_a_sweep_over_it(typed, meant):
    with pytest.raises(InvalidValue) as caught:
        integer("lag", typed, at_least=1)
    hint = caught.value.under("task").hint
    assert f"-m 'task.lag={meant}'" in hint if meant else not hint
