import numpy as np
import pytest
from linear_unit import one_unit

from rnnexp.gradients import TruncationBias, parameter_bias
from rnnexp.layers import build_network
from rnnexp.tasks import Batch

STEPS = 7


def batch_of(seed=0):
    rng = np.random.default_rng(seed)
    return Batch(rng.integers(4, size=(STEPS, 3)), rng.integers(3, size=(STEPS, 3)), np.ones((STEPS, 3), bool))


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 2), (4, 4), (7, 3)])
def test_every_parameter_against_a_double_loop(tanh_network, loss_paths, length, stride):
    network, batch = tanh_network(), batch_of()
    values = network.parameters.values
    full, cut = ({name: np.zeros_like(value) for name, value in values.items()} for _ in range(2))
    for (t, s), shares in loss_paths(network, batch).items():
        for name, share in shares.items():
            full[name] += share
            if s >= min((t // stride + 1) * stride, STEPS) - length:
                cut[name] += share
    found = parameter_bias(network, batch, "classes", length, stride)
    assert list(found) == list(values)
    for name, bias in found.items():
        norm = np.linalg.norm(full[name])
        assert bias.relative_error == pytest.approx(np.linalg.norm(cut[name] - full[name]) / norm, abs=1e-13)
        cosine = np.sum(cut[name] * full[name]) / np.linalg.norm(cut[name]) / norm
        assert bias.cosine == pytest.approx(cosine, abs=1e-13)
    assert max(bias.relative_error for name, bias in found.items() if "output" in name) < 1e-14
    assert (found["recurrent.Wh"].relative_error > 1e-3) == (length < STEPS)


def test_two_steps_of_one_linear_unit_by_hand():
    # h_2 = w (w h_0 + x_1) + x_2 with h_0 = 0, the loss (h_2 - y)^2 at the last step: dL/dw = 2 (h_2 - y) x_1, from
    # lag 0 alone; dL/dx is 2 (h_2 - y) at step 2 and w times that at step 1, so that b loses w / (1 + w) of it.
    w, x = 0.5, np.array([1.0, 2.0])
    network = one_unit(w)
    batch = Batch(x[:, None, None], np.zeros((2, 1, 1)), np.array([[False], [True]]))
    found = parameter_bias(network, batch, "values", 1)
    assert found["recurrent.b"].relative_error == pytest.approx(w / (1 + w), abs=1e-15)
    assert found["recurrent.Wx"].relative_error == pytest.approx(w * x[0] / (x[1] + w * x[0]), abs=1e-15)
    assert found["recurrent.Wh"] == TruncationBias(1.0, 0.0)


def test_nothing_is_cut_by_a_window_over_all_and_what_is_frozen_has_none():
    network = build_network(
        hidden_size=4,
        output_size=3,
        embedding_dim=2,
        input_size=4,
        rng=np.random.default_rng(1),
        freeze=["embedding", "recurrent.b"],
        num_layers=1,
    )
    found = parameter_bias(network, batch_of(), "classes", None)
    assert set(found) == {"recurrent.Wx", "recurrent.Wh", "output.W", "output.b"}
    assert set(found.values()) == {TruncationBias(1.0, 0.0)}
