"""Names, shapes and order of what stands in a state_dict; round trips; refusals. No PyTorch needed."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from pairwise import pairwise

from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import TimeGRU, TimeLSTM, TimeRNN, build_network
from rnnexp.layers.torch_weights import from_state_dict, load_weights, save_weights, to_state_dict

V, D, H = 7, 4, 3
CELLS = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM}
KINDS = {
    "one-hot": {},
    "raw values": {"input_kind": "values", "shortcut": True},
    "embedding": {"embedding_dim": D},
    "shortcut": {"embedding_dim": D, "shortcut": True},
    "linear": {"input_kind": "values", "embedding_dim": D},
    "learned start": {"embedding_dim": D, "learn_initial_state": True},
    "tied": {"embedding_dim": H, "tie": True, "learn_initial_state": True},
    "frozen": {"embedding_dim": D, "freeze": ("embedding", "output.b")},
}
#: Our gates as PyTorch documents its rows: i, f, g, o of our o, i, f, g; r, z, n.
ROWS = {TimeRNN: [...], TimeLSTM: [1, 2, 3, 0], TimeGRU: [0, 1, 2]}
NAMES = {"embedding": "encoder", "recurrent": "core.lstm", "output": "decoder"}

every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_suffix = pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
DTYPES = {"float32": np.float32, "float64": np.float64}
GIVEN = {"usual names": None, "other names": NAMES}


def build(cell=TimeLSTM, kind="embedding", layers=2, seed=1, dtype=np.float64, **options):
    """A network whose every number is drawn, biases and starts too."""
    rng = np.random.default_rng(seed)
    options = {"rng": rng, "hidden_size": H, "output_size": V, "cell": cell, "num_layers": layers, **options}
    network = build_network(dtype=dtype, **KINDS[kind], **options)
    network.parameters.vector[...] = rng.standard_normal(network.parameters.vector.shape)
    return network


def file_of(tmp_path, suffix):
    """A path, where there is what such a file needs."""
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"weights{suffix}"


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2, 3], dtype=DTYPES, names=GIVEN)
def test_a_state_dict_brings_every_bit_of_the_vector_back(cell, layers, kind, dtype, names, same_bits):
    network, other = (build(cell, kind, layers, seed, dtype) for seed in (1, 2))
    vector = other.parameters.vector
    assert np.all(vector != network.parameters.vector)
    from_state_dict(other, to_state_dict(network, names=names), names=names)
    assert other.parameters.vector is vector
    same_bits(vector, network.parameters.vector)


@pairwise(kind=list(KINDS), told=[(), *((name,) for name in NAMES)], cell=CELLS)
def test_names_of_modules_are_found_where_they_are_not_told(cell, kind, told, same_bits):
    network, other = (build(cell, kind, seed=seed) for seed in (1, 2))
    state = to_state_dict(network, names=NAMES)
    assert {key.rpartition(".")[0] for key in state} <= {*NAMES.values(), ""}  # h0 and c0 have none
    from_state_dict(other, state, names={name: NAMES[name] for name in told})
    same_bits(other.parameters.vector, network.parameters.vector)


@every_kind
@every_cell
def test_the_network_computes_with_what_was_written_into_it_and_a_state_dict_is_a_copy(cell, kind, same_bits):
    network, other = (build(cell, kind, seed=seed) for seed in (1, 2))
    inputs = np.eye(V)[:, np.newaxis] if network.design.input_kind == "values" else np.arange(V)[:, np.newaxis]
    other.forward(inputs)
    other.reset_state()
    from_state_dict(other, state := to_state_dict(network))
    for array in state.values():
        array[...] = np.nan
    same_bits(other.forward(inputs), network.forward(inputs))


@every_cell
def test_shapes_are_those_that_pytorch_documents(cell):
    rows = len(ROWS[cell]) * H
    layers = {f"rnn.bias_{which}_l{layer}": (rows,) for which in ("ih", "hh") for layer in (0, 1)}
    layers |= {"rnn.weight_ih_l0": (rows, D), "rnn.weight_ih_l1": (rows, H)}
    layers |= {"rnn.weight_hh_l0": (rows, H), "rnn.weight_hh_l1": (rows, H)}
    ends = {"embedding.weight": (V, D), "output.weight": (5, H), "output.bias": (5,)}
    starts = {f"{state}0": (2, 1, H) for state in cell.state_names}
    state = to_state_dict(build(cell, "learned start", output_size=5, input_size=V))
    assert {key: array.shape for key, array in state.items()} == {**ends, **layers, **starts}
    assert to_state_dict(build(cell, "linear"))["embedding.weight"].shape == (D, V)
    for raw in (to_state_dict(build(cell, kind)) for kind in ("one-hot", "raw values")):
        assert "embedding.weight" not in raw
        assert raw["rnn.weight_ih_l0"].shape == (rows, V)


@every_cell
def test_matrices_are_transposed_and_gates_lie_in_pytorchs_order(cell, same_bits):
    network = build(cell, "learned start")
    values, state = network.parameters.values, to_state_dict(network)
    same_bits(state["embedding.weight"], values["embedding.W"])
    same_bits(state["output.weight"], values["output.W"].T)
    same_bits(state["output.bias"], values["output.b"])
    for layer in (0, 1):
        own = {name: values[f"recurrent.{layer + 1}.{name}"] for name in ("Wx", "Wh", "b")}
        for at, gate in enumerate(ROWS[cell]):
            rows = slice(at * H, (at + 1) * H)
            same_bits(state[f"rnn.weight_ih_l{layer}"][rows], own["Wx"][gate].T)
            same_bits(state[f"rnn.weight_hh_l{layer}"][rows], own["Wh"][gate].T)
            same_bits(state[f"rnn.bias_ih_l{layer}"][rows], own["b"][gate])
        for name in cell.state_names:
            same_bits(state[f"{name}0"][layer, 0], values[f"recurrent.{layer + 1}.{name}0"])


@every_cell
def test_second_biases_are_zero_and_read_as_a_sum_but_for_a_gru_candidates(cell):
    state = to_state_dict(network := build(cell))
    own = network.parameters.values.get("recurrent.2.bn", np.zeros(H))
    assert state["rnn.bias_hh_l1"].tobytes() == np.concatenate([np.zeros((len(ROWS[cell]) - 1) * H), own]).tobytes()
    second = np.random.default_rng(4).standard_normal(len(ROWS[cell]) * H)
    expected = state["rnn.bias_ih_l1"] + second
    if cell is TimeGRU:
        expected[-H:] = state["rnn.bias_ih_l1"][-H:]
    from_state_dict(network, {**state, "rnn.bias_hh_l1": second})
    assert to_state_dict(network)["rnn.bias_ih_l1"].tobytes() == expected.tobytes()
    assert "recurrent.2.bn" not in network.parameters.values or own.tobytes() == second[-H:].tobytes()


@pytest.mark.parametrize(("first", "second", "dtype"), [(1.0, 1e-9, np.float32), (200, 100, np.uint8), (2, 3, int)])
@every_cell
def test_the_two_biases_are_added_in_the_networks_own_precision(cell, first, second, dtype):
    network, first, second = build(cell), dtype(first), dtype(second)
    state = {key: np.full(array.shape, first) for key, array in to_state_dict(network).items()}
    state |= {key: np.full(array.shape, second) for key, array in state.items() if "bias_hh" in key}
    from_state_dict(network, state)
    bias = network.parameters.values["recurrent.1.b"]
    assert np.all((bias[:2] if cell is TimeGRU else bias) == float(first) + float(second))


def test_a_tied_table_stands_at_both_ends_and_may_be_left_out_at_the_output(same_bits):
    network, other = (build(kind="tied", seed=seed) for seed in (1, 2))
    state = to_state_dict(network)
    same_bits(state["embedding.weight"], network.parameters.values["embedding.W"])
    same_bits(state.pop("output.weight"), network.parameters.values["embedding.W"])
    from_state_dict(other, state)
    same_bits(other.parameters.vector, network.parameters.vector)


@pairwise(kind=list(KINDS), cell=CELLS, suffix=[".npz", ".safetensors"], dtype=DTYPES, names=GIVEN)
def test_a_file_brings_every_bit_of_the_vector_back(cell, kind, dtype, suffix, names, tmp_path, same_bits):
    path = file_of(tmp_path, suffix)
    network, other = (build(cell, kind, seed=seed, dtype=dtype) for seed in (1, 2))
    save_weights(network, path if names else str(path), names=names)
    assert list(tmp_path.iterdir()) == [path]
    load_weights(other, path if names else str(path))
    same_bits(other.parameters.vector, network.parameters.vector)


def refuses(network, culprit, call, *args, error=UserError):
    """A refusal that names the culprit in its first line and leaves the network as it was."""
    before = network.parameters.vector.tobytes()
    with pytest.raises(error) as refusal:
        call(network, *args)
    assert culprit in refusal.value.problem
    assert network.parameters.vector.tobytes() == before


SPOILT = {
    "shorter": lambda array: array[..., :-1],
    "of more axes": lambda array: array[np.newaxis],
    "complex": lambda array: array.astype(complex),
    "truths": lambda array: array > 0,
    "text": lambda array: array.astype(str),
    "objects": lambda array: array.astype(object),
}


@pairwise(kind=list(KINDS), spoil=SPOILT, cell=CELLS)
def test_an_array_that_does_not_fit_is_refused_by_name(cell, spoil, kind):
    network, state = build(cell, kind), to_state_dict(build(cell, kind, seed=2))
    for key, array in state.items():
        refuses(network, f"'{key}'", from_state_dict, {**state, key: spoil(array)})


@every_kind
@every_cell
def test_an_array_that_is_missing_is_refused_by_name(cell, kind):
    network, state = build(cell, kind), to_state_dict(build(cell, kind, seed=2))
    for key in state:
        if not (network.tied and key in ("embedding.weight", "output.weight")):  # each of them is the other
            refuses(network, f"no '{key}'", from_state_dict, {name: state[name] for name in state if name != key})
    refuses(network, "no '", from_state_dict, {})


@pytest.mark.parametrize("extra", ["rnn.weight_ih_l2", "rnn.bias_ih_l0_reverse", "embedding.bias", "h1"])
@every_cell
def test_an_array_without_a_place_is_refused_by_name(cell, extra):
    network, state = build(cell), to_state_dict(build(cell, seed=2))
    refuses(network, f"'{extra}'", from_state_dict, {**state, extra: np.zeros(D)})


def test_weights_of_another_design_are_refused():
    state = to_state_dict(build(kind="learned start"))
    refuses(build(), "'c0'", from_state_dict, state)
    refuses(build(kind="one-hot"), "'rnn.weight_ih_l0'", from_state_dict, state)
    refuses(build(layers=1), "_l1'", from_state_dict, to_state_dict(build()))
    refuses(build(TimeGRU), "'rnn.weight_ih_l0'", from_state_dict, to_state_dict(build()))
    refuses(build(), "'encoder.weight'", lambda network: from_state_dict(network, state, names=NAMES))
    tied, free = build(kind="tied"), to_state_dict(build(kind="tied", seed=2))
    free["output.weight"] = free["output.weight"] + 1.0
    refuses(tied, "embedding and output weights differ", from_state_dict, free)


OTHER = {"own cell": {"cell": type("Own", (TimeLSTM,), {})}, "copies": {"rng": np.random.default_rng(1).spawn(2)}}


@pytest.mark.parametrize("options", OTHER.values(), ids=OTHER)
def test_what_has_no_counterpart_in_pytorch_is_refused_before_a_file_is_written(options, tmp_path):
    network, single = build(**options), build()
    save_weights(single, tmp_path / "single.npz")
    why = "only a single network of TimeRNN, TimeGRU or TimeLSTM"
    refuses(network, why, to_state_dict)
    refuses(network, why, from_state_dict, to_state_dict(single))
    refuses(network, why, save_weights, tmp_path / "own.npz")
    refuses(network, why, load_weights, tmp_path / "single.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["single.npz"]


@pytest.mark.parametrize("name", ["weights", "weights.pt", "weights.npz.gz", "weightsnpz"])
def test_files_of_another_kind_are_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (save_weights, load_weights):
        refuses(build(), name, call, name, error=InvalidValue)
    assert not any(tmp_path.iterdir())


@pytest.mark.quick(10)
@every_suffix
@pytest.mark.parametrize("kept", [0, 1, 8, 1000, -1])
def test_a_file_that_was_cut_off_is_refused_by_name(kept, suffix, tmp_path):
    path = file_of(tmp_path, suffix)
    save_weights(build(seed=2), path)
    path.write_bytes(path.read_bytes()[:kept])
    refuses(build(), f"{path} can't be read", load_weights, path)
    gc.collect()  # a file that is still open would be told of here


@every_suffix
def test_no_file_a_folder_and_a_file_that_does_not_fit_are_refused(suffix, tmp_path):
    path, folder = file_of(tmp_path, suffix), tmp_path / f"folder{suffix}"
    folder.mkdir()
    for unreadable in (path, folder):
        refuses(build(), f"{unreadable} can't be read", load_weights, unreadable)
    save_weights(build(TimeGRU), path)
    refuses(build(), "'rnn.weight_ih_l0'", load_weights, path)


def test_a_flipped_bit_in_an_npz_and_a_single_array_are_refused(tmp_path):
    path, network = tmp_path / "weights.npz", build(seed=2)
    save_weights(network, path)
    whole, number = bytearray(path.read_bytes()), network.parameters.values["output.b"].tobytes()
    whole[whole.index(number)] ^= 1
    path.write_bytes(whole)
    refuses(build(), f"{path} can't be read", load_weights, path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    refuses(build(), f"{path} can't be read", load_weights, (tmp_path / "array.npy").rename(path))


class Witness:
    def __reduce__(self):  # makes a file when it is unpickled
        return Path.touch, (self.path,)


def test_objects_in_an_npz_are_refused_and_not_unpickled(tmp_path):
    state, path, witness = to_state_dict(build(seed=2)), tmp_path / "weights.npz", Witness()
    witness.path = tmp_path / "unpickled"
    np.savez(path, **{**state, "output.bias": np.array([witness] * V, object)})
    refuses(build(), f"{path} can't be read", load_weights, path)
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package_safetensors_such_files_are_refused(tmp_path, monkeypatch):
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (save_weights, load_weights):
        refuses(build(), "need the package safetensors", call, tmp_path / "weights.safetensors")


def test_a_tied_table_may_stand_at_the_output_only(same_bits):
    network, other = (build(kind="tied", seed=seed) for seed in (1, 2))
    for names in (None, NAMES):
        state = to_state_dict(network, names=names)
        del state[f"{names['embedding'] if names else 'embedding'}.weight"]
        other.parameters.vector[...] = 0.0
        from_state_dict(other, state)
        same_bits(other.parameters.vector, network.parameters.vector)


def test_a_recurrent_layer_saved_by_itself_has_names_without_a_module(same_bits):
    network, other = (build(seed=seed) for seed in (1, 2))
    state = {key.removeprefix("rnn."): array for key, array in to_state_dict(network).items()}
    assert "weight_ih_l0" in state
    from_state_dict(other, state)
    same_bits(other.parameters.vector, network.parameters.vector)
    state = to_state_dict(network, names={"recurrent": ""})
    assert "weight_ih_l0" in state


def test_names_that_are_no_module_or_not_distinct_are_refused():
    state = to_state_dict(build())
    with pytest.raises(InvalidValue, match="names must be one of embedding, recurrent, output"):
        to_state_dict(build(), names={"rnn": "core"})
    refuses(build(), "names must be", lambda network: from_state_dict(network, state, names={"encoder": "x"}))
    with pytest.raises(InvalidValue, match="another name for each module"):
        to_state_dict(build(), names={"embedding": "same", "output": "same"})


@pytest.mark.parametrize("gone", ["decoder.bias", "decoder.weight", "encoder.weight"])
def test_what_is_missing_under_other_names_is_named_as_the_file_names_it(gone):
    state = to_state_dict(build(), names=NAMES)
    expected = gone if gone != "encoder.weight" else "embedding.weight"  # nothing tells what it was called
    refuses(build(), f"no '{expected}'", from_state_dict, {key: state[key] for key in state if key != gone})


def test_numbers_that_do_not_fit_the_dtype_or_are_no_array_are_refused():
    network = build(dtype=np.float32)
    state = {key: array.astype(np.float64) for key, array in to_state_dict(network).items()}
    state["output.bias"][0] = 1e300
    refuses(network, "'output.bias' holds numbers too large for float32", from_state_dict, state)
    refuses(network, "'output.bias'", from_state_dict, {**state, "output.bias": [[1.0], [1.0, 2.0]]})

    class KeepsItsGraph:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    refuses(network, "requires grad", from_state_dict, {**state, "output.bias": KeepsItsGraph()})
