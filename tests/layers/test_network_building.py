import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import (
    CELLS,
    GRU,
    LSTM,
    RNN,
    Initializers,
    Recurrent,
    TimeEmbedding,
    TimeLinear,
    TimeOneHot,
    TimeRNN,
    build_network,
    textbook,
)
from rnnexp.tasks import Adding, Recall, Sine

SIZES = {"hidden_size": 4, "output_size": 3}


def build(seed=0, **options):
    return build_network(**{**SIZES, "rng": np.random.default_rng(seed), **options})


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", float("nan"), 4.0])
@pytest.mark.parametrize("key", ["hidden_size", "output_size", "input_size", "embedding_dim"])
def test_a_bad_size_is_refused_by_name(key, value):
    with pytest.raises(InvalidValue) as error:
        build(**{key: value})
    assert error.value.key == key
    assert str(error.value).startswith(f"{key} must be a whole number >= 1, got ")


@pytest.mark.parametrize("key", ["hidden_size", "output_size"])
def test_a_size_that_must_be_given_cannot_be_none(key):
    with pytest.raises(InvalidValue, match=f"{key} must be a whole number >= 1, got null"):
        build(**{key: None})


def test_an_unknown_kind_of_input_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidValue, match="input_kind must be one of tokens, values, got token") as error:
        build(input_kind="token")
    assert error.value.hint == "did you mean 'tokens'?"


def test_an_unknown_activation_is_refused():
    with pytest.raises(InvalidValue, match="activation must be one of"):
        build(cell_options={"activation": "step"})


@pytest.mark.parametrize(
    ("options", "layer", "features", "learned"),
    [
        ({"embedding_dim": 2}, TimeEmbedding, 2, [("embedding.W", (5, 2))]),
        ({}, TimeOneHot, 5, []),
        ({"embedding_dim": 2, "input_kind": "values"}, TimeLinear, 2, [("embedding.W", (5, 2))]),
        ({"input_kind": "values"}, type(None), 5, []),
    ],
    ids=["table", "one-hot", "linear map", "raw values"],
)
def test_the_input_map_and_the_shapes_follow_from_the_options(options, layer, features, learned):
    network = build(input_size=5, **options)
    assert type(network.embedding) is layer
    assert type(network.recurrent) is TimeRNN
    assert network.recurrent.stateful
    assert list(network.parameters.shapes.items()) == [
        *learned,
        ("recurrent.Wx", (features, 4)),
        ("recurrent.Wh", (4, 4)),
        ("recurrent.b", (4,)),
        ("output.W", (4, 3)),
        ("output.b", (3,)),
    ]
    assert network.parameters.vector.size == sum(np.prod(shape) for shape in network.parameters.shapes.values())


def test_the_input_is_as_wide_as_the_output_unless_told():
    assert build().parameters.shapes["recurrent.Wx"] == (3, 4)
    assert build(embedding_dim=2).parameters.shapes["embedding.W"] == (3, 2)


def test_float32_is_the_default_and_float64_the_choice():
    assert build().dtype == build().parameters.gradient.dtype == np.float32
    assert build(dtype=np.float64).dtype == build(dtype="float64").parameters.gradient.dtype == np.float64


def test_biases_start_at_zero_and_weights_do_not():
    values = build(embedding_dim=2).parameters.values
    for name, value in values.items():
        assert np.all(value == 0) if name.endswith(".b") else np.all(value != 0)


def test_the_same_seed_draws_the_same_weights_and_another_one_others(same_bits):
    same_bits(build(seed=1).parameters.vector, build(seed=1).parameters.vector)
    weights = build(seed=1).parameters.vector != 0
    assert np.all((build(seed=2).parameters.vector != build(seed=1).parameters.vector)[weights])


def test_float32_weights_are_the_rounded_float64_ones(same_bits):
    single, double = build(embedding_dim=2), build(embedding_dim=2, dtype=np.float64)
    same_bits(single.parameters.vector, double.parameters.vector.astype(np.float32))
    assert np.any(single.parameters.vector != double.parameters.vector)


def test_no_global_random_state_is_read_or_set():
    state = np.random.get_state()  # noqa: NPY002
    first = build().parameters.vector
    np.random.seed(1)  # noqa: NPY002
    seeded = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(build().parameters.vector, first)
    np.testing.assert_array_equal(np.random.get_state()[1], seeded[1])  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002


def test_each_initializer_draws_its_own_matrix():
    drawn = []

    def fill(value):
        def draw(shape, *, rng):
            drawn.append(shape)
            return np.full(shape, value)

        return draw

    init = Initializers(embedding=fill(1.0), input=fill(2.0), recurrent=fill(3.0), output=fill(4.0))
    values = build(embedding_dim=2, init=init).parameters.values
    for name, value in (("embedding.W", 1), ("recurrent.Wx", 2), ("recurrent.Wh", 3), ("output.W", 4)):
        assert np.all(values[name] == value)
    assert drawn == [(3, 2), (2, 4), (4, 4), (4, 3)]


def test_default_initializers_are_normal_glorot_and_orthogonal():
    network = build(hidden_size=40, output_size=30, embedding_dim=20, input_size=500, dtype=np.float64)
    values = network.parameters.values
    assert abs(values["embedding.W"].std() - 1) < 0.05
    assert np.abs(values["embedding.W"]).max() > 3
    np.testing.assert_allclose(values["recurrent.Wh"].T @ values["recurrent.Wh"], np.eye(40), atol=1e-13)
    for name, limit in (("recurrent.Wx", np.sqrt(6 / 60)), ("output.W", np.sqrt(6 / 70))):
        assert 0.98 * limit < np.abs(values[name]).max() <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_for_each_generator_is_the_one_made_alone(dtype, same_bits):
    seeds = (3, 1, 2)
    stacked = build(rng=[np.random.default_rng(seed) for seed in seeds], embedding_dim=2, dtype=dtype).parameters
    assert stacked.vector.shape == stacked.gradient.shape == (3, 3 * 2 + 2 * 4 + 4 * 4 + 4 + 4 * 3 + 3)
    for copy, seed in enumerate(seeds):
        alone = build(seed=seed, embedding_dim=2, dtype=dtype).parameters
        same_bits(stacked.vector[copy], alone.vector)
        np.testing.assert_array_equal(stacked.values["recurrent.Wh"][copy], alone.values["recurrent.Wh"])


def test_one_generator_in_a_list_still_makes_a_leading_axis():
    assert build(rng=[np.random.default_rng(0)]).parameters.values["recurrent.Wh"].shape == (1, 4, 4)


@pytest.mark.parametrize("task", [Recall(5, lag=3), Sine(), Adding()], ids=lambda task: type(task).__name__)
def test_a_task_gives_the_kind_and_the_sizes(task, same_bits):
    sizes = {key: getattr(task, key) for key in ("input_kind", "input_size", "output_size")}
    by_task = build_network(task, hidden_size=4, embedding_dim=3, rng=np.random.default_rng(1))
    by_hand = build_network(hidden_size=4, embedding_dim=3, rng=np.random.default_rng(1), **sizes)
    assert by_task.sizes == by_hand.sizes == tuple(sizes.values())
    assert by_task.parameters.shapes == by_hand.parameters.shapes
    same_bits(by_task.parameters.vector, by_hand.parameters.vector)
    build_network(task, hidden_size=4, rng=np.random.default_rng(1), **sizes)  # the same once more is no mistake
    for outputs in (task.evaluation(rng=np.random.default_rng(0)).inputs,):
        assert by_task.forward(outputs).shape[-1] == task.output_size


@pytest.mark.parametrize(
    ("key", "value", "allowed"), [("input_kind", "tokens", "values"), ("input_size", 3, "1"), ("output_size", 2, "1")]
)
def test_a_size_that_is_not_the_tasks_is_refused(key, value, allowed):
    with pytest.raises(InvalidValue) as error:
        build_network(Sine(), hidden_size=4, rng=np.random.default_rng(0), **{key: value})
    assert str(error.value) == f"{key} must be {allowed} for the task Sine, got {value}\nleave it out"


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        (Recall, "an object, not its class: Recall()"),
        (10, "those of rnnexp.tasks"),
        ("recall", "those of rnnexp.tasks"),
    ],
)
def test_what_is_no_task_is_refused(task, hint):
    with pytest.raises(InvalidValue, match=r"task must be a task, such as rnnexp.tasks.Recall\(lag=8\), got") as error:
        build_network(task, hidden_size=4, rng=np.random.default_rng(0))
    assert error.value.hint == hint


def test_without_a_task_the_hint_is_to_give_one():
    with pytest.raises(InvalidValue, match="output_size must be a whole number >= 1, got null") as error:
        build_network(hidden_size=4, rng=np.random.default_rng(0))
    assert error.value.hint == "or give a task: build_network(task, hidden_size=10, rng=rng)"


def test_a_cell_is_given_by_its_name_in_the_group_or_by_its_class(pytestconfig):
    conf = {path.stem: path.read_text() for path in (pytestconfig.rootpath / "conf" / "cell").glob("*.yaml")}
    assert set(CELLS) == set(conf)
    for name, cell in CELLS.items():
        assert f"_target_: rnnexp.layers.{cell.__name__}\n" in conf[name]
        assert type(build(cell=name).recurrent) is type(build(cell=cell).recurrent) is cell


@pytest.mark.parametrize(
    ("cell", "got", "hint"),
    [
        ("lstn", "lstn", "did you mean 'lstm'?"),
        ("LSTM", "LSTM", "did you mean 'lstm'?"),
        ("TimeGRU", "TimeGRU", "did you mean 'gru'?"),
        ("elman", "elman", ""),
        (RNN, "RNN", "RNN is one step: a window of steps is TimeRNN"),
        (textbook.RNN, "RNN", "RNN is one step: a window of steps is TimeRNN"),
        (GRU, "GRU", "GRU is one step: a window of steps is TimeGRU"),
        (LSTM, "LSTM", "LSTM is one step: a window of steps is TimeLSTM"),
        (build().recurrent, "TimeRNN", "the class, not an object of it: TimeRNN"),
        (3, "int", ""),
        (dict, "dict", ""),
    ],
)
def test_what_is_no_cell_is_refused(cell, got, hint):
    with pytest.raises(InvalidValue) as error:
        build(cell=cell)
    assert str(error.value).startswith("cell must be one of rnn, gru, lstm")
    assert str(error.value).splitlines()[0].endswith(f", got {got}")
    assert error.value.hint == hint


class Leaky(Recurrent):
    def __init__(self, Wx, Wh, *, rate=0.5, **options):
        super().__init__((Wx, Wh), hidden_size=Wh.shape[-1], **options)
        self.rate = rate

    @staticmethod
    def parameter_shapes(input_size, hidden_size):
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size)}


@pytest.mark.parametrize(
    ("cell", "key", "hint"),
    [
        ("rnn", "activaton", "did you mean 'cell_options.activation'?"),
        ("lstm", "forget", "did you mean 'cell_options.forget_bias'?"),
        (Leaky, "rat", "did you mean 'cell_options.rate'?"),
        (Leaky, "batch_first", "valid keys: cell_options.rate"),
        ("rnn", "h0", "valid keys: cell_options.activation"),
        ("gru", "Wx", "valid keys: cell_options.activation"),
    ],
)
def test_a_wrong_option_of_a_cell_is_answered_with_the_nearest(cell, key, hint):
    with pytest.raises(UserError) as error:
        build(cell=cell, cell_options={key: 1})
    assert error.value.problem == f"unknown key 'cell_options.{key}', got cell_options.{key}=1"
    assert error.value.hint == hint


def test_a_cell_of_ones_own_takes_its_options():
    network = build(cell=Leaky, cell_options={"rate": 0.3}, num_layers=2)
    assert [layer.rate for layer in network.recurrent.layers] == [0.3, 0.3]
