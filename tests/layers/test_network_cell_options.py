import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import Initializers, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN, build_network
from rnnexp.layers.torch_weights import to_state_dict

CELLS = {"rnn": TimeRNN, "leaky": TimeLeaky, "gru": TimeGRU, "lstm": TimeLSTM}
OWN = {"leaky": ["Wx", "Wh", "b"], "rnn": ["Wx", "Wh", "b"], "gru": ["Wx", "Wh", "b", "bn"], "lstm": ["Wx", "Wh", "b"]}
STARTS = {"leaky": ["h0"], "rnn": ["h0"], "gru": ["h0"], "lstm": ["h0", "c0"]}
GATES = {"leaky": (), "rnn": (), "gru": (3,), "lstm": (4,)}
H, V, D = 4, 3, 2

every_cell = pytest.mark.parametrize("name", CELLS)


def build(name, seed=0, **options):
    options = {"hidden_size": H, "output_size": V, "dtype": np.float64, "rng": np.random.default_rng(seed), **options}
    return build_network(cell=CELLS[name], **options)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@every_cell
def test_parameters_have_the_names_and_shapes_of_their_layers(name, layers, learned):
    network = build(name, num_layers=layers, learn_initial_state=learned, embedding_dim=D)
    prefixes = ["recurrent"] if layers == 1 else [f"recurrent.{at}" for at in range(1, layers + 1)]
    own = [f"{prefix}.{part}" for prefix in prefixes for part in OWN[name] + (STARTS[name] if learned else [])]
    assert list(network.parameters.shapes) == ["embedding.W", *own, "output.W", "output.b"]
    for at, prefix in enumerate(prefixes):
        shapes = {part: network.parameters.shapes[f"{prefix}.{part}"] for part in OWN[name][:3]}
        assert shapes == {
            "Wx": (*GATES[name], D if at == 0 else H, H),
            "Wh": (*GATES[name], H, H),
            "b": (*GATES[name], H),
        }
        if learned:
            assert all(network.parameters.shapes[f"{prefix}.{start}"] == (H,) for start in STARTS[name])


@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_values_and_gradients_by_name_are_those_of_the_layers(name, layers):
    network = build(name, num_layers=layers, learn_initial_state=True)
    names = [key for key in network.parameters.shapes if key.startswith("recurrent")]
    for key, param, grad in zip(names, network.recurrent.params, network.recurrent.grads, strict=True):
        assert np.shares_memory(param, network.parameters.values[key])
        assert np.shares_memory(grad, network.parameters.grads[key])
        assert param.shape == network.parameters.shapes[key]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("options", "bias"), [({}, 1.0), ({"forget_bias": 2.5}, 2.5), ({"forget_bias": 0}, 0.0)])
def test_only_the_forget_gates_bias_starts_where_it_is_told(options, bias, layers):
    network = build("lstm", num_layers=layers, cell_options=options, learn_initial_state=True)
    for key, value in network.parameters.values.items():
        if key.startswith("recurrent") and key.endswith(".b"):
            np.testing.assert_array_equal(value, np.array([[0.0], [0.0], [bias], [0.0]]) + np.zeros((4, H)))
        elif key.endswith((".b", "h0", "c0")):
            assert not np.any(value)
        else:
            assert np.all(value != 0)


def test_the_slab_of_the_forget_bias_is_the_forget_gate(assert_close):
    network = build("lstm", cell_options={"forget_bias": 30.0})
    for steps in (3, 2):
        network.forward(np.zeros((steps, 1), int))
        gates = network.recurrent.gates()
        np.testing.assert_allclose(gates["forget"], 1.0, atol=1e-12)
        assert np.abs(gates["input"] - 0.5).max() < 0.4
        assert np.abs(gates["output"] - 0.5).max() < 0.4


def test_biases_of_a_gru_start_at_zero():
    network = build("gru", num_layers=2)
    for key in ("recurrent.1.b", "recurrent.1.bn", "recurrent.2.b", "recurrent.2.bn", "output.b"):
        assert not np.any(network.parameters.values[key])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None])
def test_a_forget_bias_that_is_no_number_is_refused(value):
    with pytest.raises(InvalidValue, match="forget_bias must be a number"):
        build("lstm", cell_options={"forget_bias": value})


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_every_gates_matrix_is_drawn_by_itself(name, layers):
    size = 16
    network = build(name, num_layers=layers, hidden_size=size)
    for prefix in ["recurrent"] if layers == 1 else ["recurrent.1", "recurrent.2"]:
        matrices = network.parameters.values[f"{prefix}.Wh"]
        for matrix in matrices:
            np.testing.assert_allclose(matrix.T @ matrix, np.eye(size), atol=1e-13)
        inputs = network.parameters.values[f"{prefix}.Wx"]
        limit = np.sqrt(6 / sum(inputs.shape[-2:]))
        assert all(0.9 * limit < np.abs(matrix).max() <= limit for matrix in inputs)
        for kind in (matrices, inputs):
            assert len(np.unique(kind.reshape(len(kind), -1), axis=0)) == len(kind)


@every_cell
def test_initialisers_see_one_matrix_at_a_time_in_the_order_of_the_parameters(name):
    drawn = []

    def fill(value):
        def draw(shape, *, rng):
            drawn.append((value, shape))
            return np.full(shape, float(value))

        return draw

    kinds = ("embedding", "input", "recurrent", "output", "state")
    init = Initializers(**{kind: fill(at + 1) for at, kind in enumerate(kinds)})
    values = build(name, embedding_dim=D, num_layers=2, learn_initial_state=True, init=init).parameters.values
    gates, starts = (GATES[name] or (1,))[0], len(STARTS[name])
    layer = [[(2, (size, H))] * gates + [(3, (H, H))] * gates + [(5, (1, H))] * starts for size in (D, H)]
    assert drawn == [(1, (V, D)), *layer[0], *layer[1], (4, (H, V))]
    for at in (1, 2):
        assert np.all(values[f"recurrent.{at}.Wx"] == 2)
        assert np.all(values[f"recurrent.{at}.Wh"] == 3)
        assert all(np.all(values[f"recurrent.{at}.{start}"] == 5) for start in STARTS[name])


@every_cell
def test_a_tied_table_is_input_and_output_map_at_once(name, assert_close, same_bits):
    rng = np.random.default_rng(1)
    network = build(name, tie=True, embedding_dim=H, num_layers=2)
    assert network.tied
    assert "output.W" not in network.parameters.shapes
    table, bias = network.parameters.values["embedding.W"], network.parameters.values["output.b"]
    for steps in (4, 3):
        tokens = rng.integers(V, size=(steps, 2))
        outputs = network.forward(tokens)
        same_bits(network.embedding.forward(tokens), table[tokens])
        assert_close(outputs, network.recurrent.states[1:, :, -H:] @ table.T + bias)
        network.parameters.vector -= 0.1 * network.backward(np.ones_like(outputs))
    free = build(name, embedding_dim=H, num_layers=2)
    assert not free.tied


@pytest.mark.parametrize("kind", ["tokens", "values"])
def test_a_shortcut_adds_the_input_to_the_output_and_leaves_the_other_weights(kind, assert_close, same_bits):
    options = {"embedding_dim": D, "input_kind": kind, "input_size": V + 1}
    network, without = (build("rnn", **options, shortcut=shortcut) for shortcut in (True, False))
    own = without.parameters.vector
    same_bits(network.parameters.vector[: own.size], own)
    rng, direct = np.random.default_rng(1), network.parameters.values["output.Wx"]
    assert direct.shape == (V + 1, V)
    assert np.abs(direct).max() > 0
    tokens = rng.integers(V + 1, size=(4, 2))
    inputs = tokens if kind == "tokens" else rng.standard_normal((4, 2, V + 1))
    vectors = np.eye(V + 1)[tokens] if kind == "tokens" else inputs
    for scored in (None, slice(-1, None), np.array([0, 2])):
        outputs, others = (one.forward(inputs, scored=scored) for one in (network, without))
        assert_close(outputs, others + vectors[slice(None) if scored is None else scored] @ direct)
        network.reset_state()
        without.reset_state()
    weights, hs = to_state_dict(network), network.recurrent.forward(network.embedding.forward(inputs))
    seen = np.concatenate([hs, vectors], axis=-1)
    assert_close(seen @ weights["output.weight"].T + weights["output.bias"], network.read_out(hs, inputs))


def test_a_tied_table_is_drawn_by_the_initialiser_of_the_output():
    def count(shape, *, rng):
        return np.arange(np.prod(shape), dtype=float).reshape(shape)

    network = build("gru", tie=True, embedding_dim=H, init=Initializers(output=count))
    np.testing.assert_array_equal(network.parameters.values["embedding.W"], np.arange(H * V).reshape(H, V).T)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"embedding_dim": H, "input_size": V + 1}, "tie"),
        ({"embedding_dim": H, "input_kind": "values"}, "tie"),
        ({"input_kind": "values"}, "tie"),
        ({"embedding_dim": H, "shortcut": True}, "shortcut"),
        ({}, "embedding_dim"),
        ({"embedding_dim": H - 1}, "embedding_dim"),
    ],
    ids=["other input", "values", "raw values", "shortcut", "one-hot", "narrow"],
)
@every_cell
def test_what_has_not_the_same_sizes_cannot_be_tied(name, options, key):
    with pytest.raises(InvalidValue) as error:
        build(name, tie=True, **options)
    assert error.value.key == key
    build(name, tie=True, embedding_dim=H, input_size=V)


@every_cell
def test_a_bad_number_of_layers_is_refused_by_name(name):
    for value in (0, -1, 1.5, True, "2", None):
        with pytest.raises(InvalidValue, match="num_layers must be a whole number >= 1, got "):
            build(name, num_layers=value)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "identity", "softplus"])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_a_gated_cell_takes_no_other_activation_than_tanh(name, activation):
    for layers in (1, 2):
        with pytest.raises(InvalidValue, match=f"activation must be .*tanh.*, got {activation}"):
            build(name, num_layers=layers, cell_options={"activation": activation})
    build(name, cell_options={"activation": "tanh"})


FREEZES = {
    "layer": (1, "embedding", ["embedding.W"]),
    "recurrent": (1, "recurrent", ["recurrent.Wx", "recurrent.Wh", "recurrent.b", "recurrent.bn", "recurrent.h0"]),
    "one array": (1, "recurrent.Wh", ["recurrent.Wh"]),
    "start": (1, ["recurrent.h0"], ["recurrent.h0"]),
    "output and array": (2, ("output", "recurrent.1.Wx"), ["recurrent.1.Wx", "output.W", "output.b"]),
    "one of two": (2, "recurrent.2", [f"recurrent.2.{part}" for part in ("Wx", "Wh", "b", "bn", "h0")]),
    "both": (2, "recurrent", [f"recurrent.{at}.{part}" for at in (1, 2) for part in ("Wx", "Wh", "b", "bn", "h0")]),
    "nothing": (1, (), []),
}


@pytest.mark.parametrize(("layers", "freeze", "frozen"), FREEZES.values(), ids=FREEZES)
def test_what_is_frozen_has_no_gradient_and_all_else_has_its_own(layers, freeze, frozen, same_bits):
    rng = np.random.default_rng(2)
    options = {"num_layers": layers, "embedding_dim": D, "learn_initial_state": True}
    network, free = build("gru", freeze=freeze, **options), build("gru", **options)
    same_bits(network.parameters.vector, free.parameters.vector)
    assert list(network.design.frozen) == frozen
    for steps in (4, 3):
        tokens, doutputs = rng.integers(V, size=(steps, 2)), rng.standard_normal((steps, 2, V))
        for one in (network, free):
            one.reset_state()
            one.forward(tokens)
            one.backward(doutputs)
        for key, grad in network.parameters.grads.items():
            if key in frozen:
                assert not np.any(grad)
            else:
                same_bits(grad, free.parameters.grads[key])
        network.parameters.vector -= 0.1 * network.parameters.gradient
        free.parameters.vector[...] = network.parameters.vector


def test_a_frozen_tied_table_has_no_gradient_from_either_end():
    network = build("lstm", tie=True, embedding_dim=H, freeze="embedding")
    for steps in (4, 3):
        outputs = network.forward(np.random.default_rng(3).integers(V, size=(steps, 2)))
        network.backward(np.ones_like(outputs))
        assert not np.any(network.parameters.grads["embedding.W"])
        assert np.all(network.parameters.grads["output.b"] != 0)


@pytest.mark.parametrize(
    "freeze", ["recurent", "recurrent.Wq", "recurrent.1", "output.W.x", ["embedding", "nothing"], ""]
)
def test_there_must_be_something_of_the_name_to_freeze(freeze):
    with pytest.raises(InvalidValue, match="freeze must be one of"):
        build("rnn", embedding_dim=D, freeze=freeze)


def test_the_output_map_of_a_tied_network_is_frozen_as_the_embedding():
    with pytest.raises(InvalidValue, match="freeze must be one of"):
        build("rnn", embedding_dim=H, tie=True, freeze="output.W")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_network_with_nothing_to_train_is_refused(layers):
    everything = ["embedding", "recurrent", "output"]
    with pytest.raises(InvalidValue, match="freeze must be less than the whole network"):
        build("gru", embedding_dim=D, num_layers=layers, freeze=everything)
    assert len(build("gru", embedding_dim=D, num_layers=layers, freeze=everything[:2]).design.frozen) == 1 + 4 * layers
