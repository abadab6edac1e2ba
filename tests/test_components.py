"""Components show their configuration, and say what is wrong with an argument."""

import importlib
import inspect
import pickle

import numpy as np
import pytest

import rnnexp
from rnnexp import layers, tasks, training
from rnnexp.checks import InvalidValue, UnknownArgument
from rnnexp.components import Component, Shown, checked, short

ROOMS = ("layers", "tasks", "gradients", "algorithms", "training")
PUBLIC = {name: value for room in ROOMS for name, value in vars(importlib.import_module(f"rnnexp.{room}")).items()}
CLASSES = {
    name: value
    for name, value in PUBLIC.items()
    if inspect.isclass(value) and issubclass(value, Component) and not inspect.isabstract(value)
}
GIVEN = {
    "Solved": {"task": tasks.Recall()},
    "Bands": {"bands": [(0, 0.5)]},
    "Values": {"values": [0.5, 1.0]},
    "Streams": {"seed": 3},
}
PLAIN = sorted(set(CLASSES) - {"Table", "DataIterator"})
OTHER = {
    int: lambda value: value // 2 if value > 3 else value + 1,
    float: lambda value: value / 2,
    bool: lambda value: not value,
}


def made(name, **options):
    return CLASSES[name](**{**GIVEN.get(name, {}), **options})


def test_all_kinds_of_components_are_here():
    expected = {"SGD", "Adam", "NormClipping", "NoClipping", "Cosine", "Omega", "NoRegularizer", "AdaptiveBPTT"}
    expected |= {"Orthogonal", "Values", "Recall", "Text", "Table", "GradientStudy", "Streams", "DataIterator"}
    assert expected <= set(CLASSES)
    assert len(CLASSES) > 45


@pytest.mark.parametrize("name", PLAIN)
def test_what_a_component_shows_makes_it_again(name):
    component = made(name)
    again = eval(repr(component), CLASSES)
    assert repr(again) == repr(component)
    assert repr(again.configuration()) == repr(component.configuration())
    assert list(component.configuration()) == list(inspect.signature(type(component)).parameters)


@pytest.mark.parametrize("name", PLAIN)
def test_an_argument_that_is_given_is_shown(name):
    for key, item in inspect.signature(CLASSES[name]).parameters.items():
        change = OTHER.get(type(item.default))
        if change is None:
            continue
        value = change(item.default)
        try:
            component = made(name, **{key: value})
        except (InvalidValue, ValueError):  # no value of this argument, or none beside the other defaults
            continue
        assert f"{key}={value!r}" in repr(component) or value is False, f"{name} hides {key}"


def test_a_component_shows_what_it_is_now():
    optimizer = rnnexp.SGD(0.1, momentum=0.5)
    assert repr(optimizer) == "SGD(learning_rate=0.1, momentum=0.5)"
    optimizer.learning_rate = 0.025
    assert repr(optimizer) == "SGD(learning_rate=0.025, momentum=0.5)"
    adaptive = rnnexp.AdaptiveBPTT(length=10)
    adaptive.length = 37  # the window moves on; the configuration does not
    assert repr(adaptive).startswith("AdaptiveBPTT(length=10, tolerance=")


def test_none_is_shown_where_it_is_not_what_was_there():
    assert repr(rnnexp.TruncatedBPTT(None)) == "TruncatedBPTT(length=None)"
    assert repr(rnnexp.RandomizedBPTT(5)) == "RandomizedBPTT(length=5, alpha=6.0)"
    assert "lyapunov_exponents=None" in repr(rnnexp.GradientStudy(lyapunov_exponents=None))
    assert "truncation=False" in repr(rnnexp.GradientStudy(truncation=False))


def test_results_show_numbers_in_six_digits_and_arrays_by_their_shape():
    evaluation = rnnexp.Evaluation(loss=1 / 3, accuracy=None, absolute_error=0.25)
    assert repr(evaluation) == "Evaluation(loss=0.333333, absolute_error=0.25)"
    report = rnnexp.Report(7, train_loss=np.float64(2 / 3), evaluation=evaluation, update_ratios={"output.W": 1e-9 / 3})
    assert repr(report) == (
        "Report(step=7, train_loss=0.666667, update_ratios={'output.W': 3.33333e-10}, "
        "evaluation=Evaluation(loss=0.333333, absolute_error=0.25))"
    )
    norms = rnnexp.NormsByLag(np.array([[1.0], [0.5], [0.25]]))
    assert repr(norms) == "NormsByLag(per_sequence=<float64 (3, 1)>, log10_ratio=-0.60206, decay_rate=-0.693147)"
    assert repr(tasks.Recall(lag=2).sample(5, rng=np.random.default_rng(0))).startswith("Batch(inputs=<int64 (3, 5)>")


def test_a_value_of_ones_own_is_shown_as_it_shows_itself():
    assert short([1.0, None]) == "[1.0, None]"
    assert short(layers.TimeRNN) == "TimeRNN"
    assert short({"a": np.float32(0.5), "b": np.zeros(3)}) == "{'a': 0.5, 'b': <float64 (3,)>}"


def test_a_persons_own_class_is_shown_in_the_same_way():
    class Majority(tasks.EpisodeTask):
        def __init__(self, *, length=11, eval_sequences=500):
            super().__init__(eval_sequences=eval_sequences)
            self.length = length

        baseline = sample = None

    assert repr(Majority(length=5)).endswith("Majority(length=5, eval_sequences=500)")
    with pytest.raises(UnknownArgument) as error:
        Majority(lenght=5)
    assert error.value.hint == "did you mean 'length'?"


@pytest.mark.parametrize(
    ("call", "name", "nearest"),
    [
        (lambda: rnnexp.SGD(learnin_rate=1.0), "SGD takes no argument 'learnin_rate'", "learning_rate"),
        (lambda: layers.Glorot(gian=1.0), "Glorot takes no argument 'gian'", "gain"),
        (lambda: tasks.Recall(lags=3), "Recall takes no argument 'lags'", "lag"),
        (lambda: training.Cosine(warm_up=3), "Cosine takes no argument 'warm_up'", "warmup"),
        (lambda: rnnexp.build_network(hiden_size=3), "build_network takes no argument 'hiden_size'", "hidden_size"),
        (lambda: rnnexp.train(None, None, optimiser=3), "train takes no argument 'optimiser'", "optimizer"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_nearest(call, name, nearest):
    with pytest.raises(TypeError) as error:
        call()
    assert str(error.value) == f"{name}\ndid you mean '{nearest}'?"
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value)


def test_an_argument_that_is_like_none_is_answered_with_all():
    with pytest.raises(UnknownArgument) as error:
        rnnexp.SGD(rho=1.0)
    assert error.value.hint == "its arguments are learning_rate, momentum, nesterov"


def with_rng():
    """Everything public that takes an rng, by name, with what comes before it."""
    for name, value in PUBLIC.items():
        if inspect.isfunction(value) and "rng" in inspect.signature(value).parameters:
            yield name, value, value
        if not inspect.isclass(value) or getattr(value, "_is_protocol", False):
            continue
        for key, method in inspect.getmembers(value, inspect.isfunction):
            if "rng" in inspect.signature(method).parameters and (key in ("__init__", "__call__") or key[0] != "_"):
                yield f"{name}.{key}", method, method


TAKES_RNG = {name: function for name, function, _ in with_rng()}


def test_all_kinds_of_functions_that_draw_are_here():
    expected = {"build_network", "check_cell", "train", "Recall.sample", "Sine.read", "Text.begin"}
    expected |= {"Echo.evaluation", "Orthogonal.__call__", "RandomizedBPTT.segment", "TruncatedBPTT.windows"}
    assert expected | {"DataIterator.__init__"} <= set(TAKES_RNG)


BAD = [0, None, np.random.RandomState(0), np.random, 7, True, "0", np.random.default_rng]
WORDS = ["0", "None", "RandomState", "numpy.random", "7", "true", "'0'", "default_rng"]


@pytest.mark.parametrize("name", TAKES_RNG)
def test_what_is_no_generator_is_refused_in_words(name):
    function = TAKES_RNG[name]
    needed = {
        key: None
        for key, item in inspect.signature(function).parameters.items()
        if item.default is item.empty and item.kind < item.VAR_KEYWORD and key != "rng" and item.kind != 2
    }
    if name == "build_network":
        needed["hidden_size"] = 3
    for bad, words in zip(BAD, WORDS, strict=True):
        with pytest.raises(InvalidValue) as error:
            function(**needed, rng=bad)
        assert str(error.value).startswith(f"rng must be a numpy.random.Generator, got {words}\ntry rng=numpy.random.")
    assert "default_rng(7)" in str(error_of(function, needed, 7))


def error_of(function, needed, rng):
    try:
        function(**needed, rng=rng)
    except InvalidValue as error:
        return error


def test_what_the_hint_says_works():
    rnnexp.build_network(output_size=3, hidden_size=2, rng=np.random.default_rng(0))
    rnnexp.build_network(output_size=3, hidden_size=2, rng=rnnexp.Streams(seed=0).init)
    with pytest.raises(InvalidValue, match="rng must be"):
        rnnexp.build_network(output_size=3, hidden_size=2, rng=[np.random.default_rng(0), 1])


def test_what_is_checked_keeps_its_signature_its_name_and_its_default():
    def draw(size, *, rng=None, scale=2.0):
        """Draw."""
        return size, rng, scale

    wrapped = checked(draw)
    assert inspect.signature(wrapped) == inspect.signature(draw)
    assert (wrapped.__name__, wrapped.__doc__) == ("draw", "Draw.")
    assert wrapped(3) == (3, None, 2.0)


def test_a_constructor_shows_its_real_arguments():
    assert list(inspect.signature(rnnexp.SGD).parameters) == ["learning_rate", "momentum", "nesterov"]
    assert list(inspect.signature(layers.Glorot).parameters) == ["gain"]
    assert list(inspect.signature(training.NoClipping).parameters) == []
    assert issubclass(layers.TimeRNN, Shown)
