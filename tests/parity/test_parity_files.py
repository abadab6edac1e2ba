"""Files that one side writes and the other reads."""

import numpy as np
import pytest
from torch_twin import CELLS, KINDS, Sizes, agree, arrays_of, draw, draw_inputs, load

from rnnexp.checks import UserError
from rnnexp.layers import load_weights, save_weights, to_state_dict

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
from safetensors.torch import load_file, save_file, save_model  # noqa: E402

pytestmark = pytest.mark.parity

SIZES, TIED = Sizes(), Sizes(features=5, hidden=5, outputs=7, inputs=7)
#: What a network can be, apart from its cell and depth.
NETWORKS = {kind: (kind, {}) for kind in KINDS}
NETWORKS |= {
    "learned start": ("embedding", {"learned": True}),
    "tied": ("embedding", {"sizes": TIED, "tie": True}),
    "tied, learned start": ("embedding", {"sizes": TIED, "tie": True, "learned": True}),
}

every_suffix = pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
every_network = pytest.mark.parametrize("kind", NETWORKS)
LAYOUTS = {name: CELLS[name] for name in ("rnn", "gru", "lstm")}
every_layout = pytest.mark.parametrize("cell", LAYOUTS.values(), ids=LAYOUTS)


def draw_two(cell, kind, layers=2, dtype=np.float64):
    """A network, and a twin of other numbers: PyTorch's second biases are not zero either."""
    what, options = NETWORKS[kind]
    network, _ = draw(cell, what, layers=layers, dtype=dtype, **options)
    _, twin = draw(cell, what, layers=layers, seed=1, **options)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            if ".bias_hh_" in name:
                value.normal_(std=0.4)
    return network, twin


def write(twin, path):
    """A module's state_dict, as a PyTorch user saves it."""
    if path.suffix == ".npz":
        np.savez(path, **arrays_of(twin.state_dict()))
    elif len(twin.state_dict()) > len(list(twin.parameters())):
        save_model(twin, str(path))  # which writes a shared tensor once
    else:
        save_file(twin.state_dict(), path)


def read(path):
    """A file as a PyTorch user reads it."""
    if path.suffix == ".safetensors":
        return load_file(path)
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def same_outputs(network, twin, kind, sizes=SIZES):
    inputs = draw_inputs(NETWORKS[kind][0], sizes, np.random.default_rng(1))
    network.reset_state()
    agree(network.forward(inputs), twin(torch.from_numpy(inputs))[0].detach().numpy())


@every_suffix
@every_network
@every_layout
def test_a_file_that_pytorch_wrote_makes_the_same_network_here(cell, kind, suffix, tmp_path):
    network, twin = draw_two(cell, kind)
    write(twin, tmp_path / f"weights{suffix}")
    load_weights(network, tmp_path / f"weights{suffix}")
    same_outputs(network, twin, kind)


@every_suffix
@every_network
@every_layout
def test_a_file_written_here_makes_the_same_module_in_pytorch(cell, kind, suffix, tmp_path):
    network, twin = draw_two(cell, kind)
    save_weights(network, tmp_path / f"weights{suffix}")
    twin.load_state_dict(read(tmp_path / f"weights{suffix}"), strict=True)
    same_outputs(network, twin, kind)
    for name, array in to_state_dict(network).items():
        assert arrays_of(twin.state_dict())[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


@every_suffix
@every_network
@every_layout
def test_there_and_back_through_pytorch_gives_every_bit_back(cell, kind, suffix, tmp_path):
    network, twin = draw_two(cell, kind)
    other, _ = draw(cell, NETWORKS[kind][0], layers=2, seed=2, **NETWORKS[kind][1])
    load(twin, network)
    write(twin, tmp_path / f"weights{suffix}")
    assert np.any(other.parameters.vector != network.parameters.vector)
    load_weights(other, tmp_path / f"weights{suffix}")
    assert other.parameters.vector.tobytes() == network.parameters.vector.tobytes()


@every_suffix
@every_network
@every_layout
def test_a_float32_file_gives_a_float64_network_the_outputs_of_a_float64_module(cell, kind, suffix, tmp_path):
    """Nothing is rounded again: the two biases of PyTorch are added in the network's own precision."""
    network, twin = draw_two(cell, kind)
    write(twin.float(), tmp_path / f"weights{suffix}")
    assert {value.dtype for value in read(tmp_path / f"weights{suffix}").values()} == {torch.float32}
    load_weights(network, tmp_path / f"weights{suffix}")
    assert network.dtype == np.float64
    same_outputs(network, twin.double(), kind)


@every_suffix
@every_layout
def test_a_float64_file_gives_a_float32_network_the_nearest_numbers(cell, suffix, tmp_path):
    network, twin = draw_two(cell, "embedding", dtype=np.float32)
    write(twin, tmp_path / f"weights{suffix}")
    load_weights(network, tmp_path / f"weights{suffix}")
    assert network.dtype == np.float32
    inputs = draw_inputs("embedding", SIZES, np.random.default_rng(1))
    expected = twin(torch.from_numpy(inputs))[0].detach().numpy()
    np.testing.assert_allclose(network.forward(inputs), expected, rtol=1e-5, atol=1e-5)
    for name, value in arrays_of(twin.state_dict()).items():
        if "bias" not in name:
            assert to_state_dict(network)[name].tobytes() == np.ascontiguousarray(value, np.float32).tobytes(), name


class Renamed(torch.nn.Module):
    """The names of PyTorch's word language model example."""

    def __init__(self, twin, recurrent):
        super().__init__()
        self.encoder, self.decoder = twin.embedding, twin.output
        setattr(self, recurrent, twin.rnn)


@every_suffix
@pytest.mark.parametrize("named", [False, True], ids=["recognised", "told"])
@every_layout
def test_modules_of_other_names_are_recognised_or_told(cell, named, suffix, tmp_path):
    network, twin = draw_two(cell, "embedding")
    names = {"embedding": "encoder", "recurrent": "lstm", "output": "decoder"}
    renamed = Renamed(twin, "lstm")
    write(renamed, tmp_path / f"theirs{suffix}")
    load_weights(network, tmp_path / f"theirs{suffix}", names=names if named else None)
    same_outputs(network, twin, "embedding")
    network.parameters.vector *= 1.1
    save_weights(network, tmp_path / f"ours{suffix}", names=names)
    renamed.load_state_dict(read(tmp_path / f"ours{suffix}"), strict=True)
    same_outputs(network, twin, "embedding")


@every_suffix
@every_layout
def test_a_tied_table_of_modules_of_other_names_is_read(cell, suffix, tmp_path):
    """What is tied stands in a file twice, or once, under whichever name comes first."""
    network, twin = draw_two(cell, "tied")
    write(Renamed(twin, "lstm"), tmp_path / f"theirs{suffix}")
    names = {"embedding": "encoder", "recurrent": "lstm", "output": "decoder"}
    load_weights(network, tmp_path / f"theirs{suffix}", names=names)
    same_outputs(network, twin, "tied")


@every_suffix
@every_layout
def test_a_file_of_another_kind_of_module_is_refused_and_changes_nothing(cell, suffix, tmp_path):
    network, twin = draw_two(cell, "embedding")
    before = network.parameters.vector.tobytes()
    half = torch.nn.Sequential(twin.rnn)
    write(half, tmp_path / f"half{suffix}")
    with pytest.raises(UserError, match="embedding"):
        load_weights(network, tmp_path / f"half{suffix}")
    _, deeper = draw_two(cell, "embedding", layers=3)
    write(deeper, tmp_path / f"deeper{suffix}")
    with pytest.raises(UserError, match="_l2"):
        load_weights(network, tmp_path / f"deeper{suffix}")
    assert network.parameters.vector.tobytes() == before


def test_what_torch_save_writes_is_not_unpickled(tmp_path):
    network, twin = draw_two(CELLS["rnn"], "embedding")
    before = network.parameters.vector.tobytes()
    for suffix in (".npz", ".safetensors"):
        torch.save(twin.state_dict(), tmp_path / f"pickled{suffix}")
        with pytest.raises(UserError, match="pickled"):
            load_weights(network, tmp_path / f"pickled{suffix}")
    assert network.parameters.vector.tobytes() == before
