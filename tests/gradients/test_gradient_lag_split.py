import numpy as np
import pytest

from rnnexp.gradients import fixed_windows, full_gradient, gradient_by_lag, windowed_gradient
from rnnexp.tasks import Batch

STEPS, COUNT = 7, 3
NAMES = ["recurrent.Wx", "recurrent.Wh", "recurrent.b"]


def batch_of(mask, seed=0):
    rng = np.random.default_rng(seed)
    return Batch(rng.integers(4, size=mask.shape), rng.integers(3, size=mask.shape), mask)


def last_step(steps=STEPS):
    mask = np.zeros((steps, COUNT), bool)
    mask[-1] = True
    return mask


def some_steps():
    mask = np.zeros((STEPS, COUNT), bool)
    mask[[0, 2, 3, 6, 4, 4], [0, 0, 1, 1, 1, 2]] = True
    return mask


MASKS = {"last": last_step(), "all": np.ones((STEPS, COUNT), bool), "some": some_steps()}


def named(network, vector):
    """A gradient vector by parameter name."""
    kept = network.parameters.gradient.copy()
    network.parameters.gradient[...] = vector
    grads = {name: grad.copy() for name, grad in network.parameters.grads.items()}
    network.parameters.gradient[...] = kept
    return grads


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_rows_add_up_to_the_whole_gradient(tanh_network, mask):
    network, batch = tanh_network(), batch_of(mask)
    whole = named(network, full_gradient(network, batch, "classes"))
    split = gradient_by_lag(network, batch, "classes")
    assert list(split) == list(whole)
    for name in whole:
        assert split[name].shape == (STEPS, *whole[name].shape)
        scale = np.abs(whole[name]).max()
        assert scale > 1e-4
        np.testing.assert_allclose(split[name].sum(axis=0), whole[name], rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_every_row_is_the_sum_of_the_ways_of_its_length(tanh_network, loss_paths, mask):
    network, batch = tanh_network(), batch_of(mask)
    paths = loss_paths(network, batch)
    split = gradient_by_lag(network, batch, "classes")
    for name in NAMES:
        for lag in range(STEPS):
            expected = sum(share[name] for (t, s), share in paths.items() if t - s == lag)
            scale = np.abs(split[name]).max()
            np.testing.assert_allclose(split[name][lag], expected, rtol=0, atol=1e-13 * scale, err_msg=f"{name} {lag}")


def test_of_real_values_too(tanh_network, loss_paths):
    rng = np.random.default_rng(1)
    network = tanh_network(input_kind="values")
    batch = Batch(rng.standard_normal((5, 2, 2)), rng.standard_normal((5, 2, 3)), np.ones((5, 2), bool))
    paths = loss_paths(network, batch)
    split = gradient_by_lag(network, batch, "values")
    for name in NAMES:
        for lag in range(5):
            expected = sum(share[name] for (t, s), share in paths.items() if t - s == lag)
            np.testing.assert_allclose(split[name][lag], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("length", range(1, STEPS + 1))
def test_a_window_at_the_last_loss_keeps_the_rows_below_its_length(tanh_network, length):
    network, batch = tanh_network(), batch_of(last_step())
    split = gradient_by_lag(network, batch, "classes")
    truncated = named(network, windowed_gradient(network, batch, "classes", fixed_windows(STEPS, length)))
    for name in NAMES:
        scale = np.abs(split[name]).max()
        np.testing.assert_allclose(split[name][:length].sum(axis=0), truncated[name], rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_with_an_update_at_every_step_a_window_keeps_the_rows_below_its_length_of_all_losses(tanh_network, length):
    network, batch = tanh_network(), batch_of(MASKS["all"])
    split = gradient_by_lag(network, batch, "classes")
    truncated = named(network, windowed_gradient(network, batch, "classes", fixed_windows(STEPS, length, 1)))
    for name in NAMES:
        scale = np.abs(split[name]).max()
        np.testing.assert_allclose(split[name][:length].sum(axis=0), truncated[name], rtol=0, atol=1e-13 * scale)


def test_it_ends_where_the_gradient_does(tanh_network):
    network = tanh_network()
    network.parameters.values["recurrent.Wh"][...] = 0.0
    split = gradient_by_lag(network, batch_of(last_step()), "classes")
    whole = named(network, full_gradient(network, batch_of(last_step()), "classes"))
    for name in NAMES:
        assert split[name].shape[0] == 1
        np.testing.assert_allclose(split[name][0], whole[name], rtol=1e-12, atol=1e-15)


def test_no_gradient_is_one_row_of_zeros(tanh_network):
    network = tanh_network()
    network.parameters.values["output.W"][...] = 0.0
    split = gradient_by_lag(network, batch_of(last_step()), "classes")
    for name in NAMES:
        assert split[name].shape == (1, *network.parameters.values[name].shape)
        assert not split[name].any()


def test_an_early_loss_has_no_longer_lags_than_steps_before_it(tanh_network):
    mask = np.zeros((STEPS, COUNT), bool)
    mask[2, 1] = True
    split = gradient_by_lag(tanh_network(), batch_of(mask), "classes")
    assert [len(split[name]) for name in NAMES] == [3, 3, 3]
    assert all(row.any() for row in split["recurrent.b"])
    assert not split["recurrent.Wh"][2].any(), "the first step's earlier state is zero"


def test_one_step(tanh_network):
    network, batch = tanh_network(), batch_of(last_step(1))
    split = gradient_by_lag(network, batch, "classes")
    whole = named(network, full_gradient(network, batch, "classes"))
    assert not split["recurrent.Wh"].any()
    for name in ("recurrent.Wx", "recurrent.b"):
        np.testing.assert_allclose(split[name], whole[name][np.newaxis], rtol=1e-12)


def test_a_carried_state_does_not_get_in_and_none_is_left(tanh_network):
    network, batch = tanh_network(), batch_of(MASKS["all"])
    expected = gradient_by_lag(network, batch, "classes")
    assert network.recurrent.h is None
    network.recurrent.set_state(np.full((COUNT, 5), 0.8))
    again = gradient_by_lag(network, batch, "classes")
    assert all(np.array_equal(again[name], expected[name]) for name in NAMES)
    # The rows do not share memory with each other or with the network's gradient.
    network.parameters.gradient[...] = 3.0
    assert np.array_equal(again["recurrent.Wx"], expected["recurrent.Wx"])


def test_float32_agrees_with_float64(linear_network):
    wide = gradient_by_lag(linear_network(), batch_of(MASKS["all"]), "classes")
    narrow = gradient_by_lag(linear_network(dtype=np.float32), batch_of(MASKS["all"]), "classes")
    for name in NAMES:
        assert narrow[name].dtype == np.float32
        np.testing.assert_allclose(narrow[name], wide[name], rtol=0, atol=1e-5 * np.abs(wide[name]).max())
