import numpy as np
import pytest

from rnnexp.gradients import norms_by_lag, total_norms_by_time
from rnnexp.tasks import Batch

STEP = 1e-30


def of_sequence(network, batch, sequence):
    """||dL/dh_t|| for t = 0 to T by complex steps, L the mean over the sequence's own scored steps."""
    values = network.parameters.values
    Wx, Wh, b = (values[f"recurrent.{name}"] for name in ("Wx", "Wh", "b"))
    E, V, c = values["embedding.W"], values["output.W"], values["output.b"]
    inputs, targets, mask = (array[:, sequence] for array in (batch.inputs, batch.targets, batch.mask))
    xs = (inputs @ E if inputs.ndim == 2 else E[inputs]) @ Wx + b

    def loss_at(h, step):
        y = h @ V + c
        if targets.ndim == 2:
            return np.mean((y - targets[step]) ** 2)
        return np.log(np.exp(y).sum()) - y[targets[step]]

    def continued(h, start):
        """Losses from the state after `start` steps on, that state's own included."""
        total = loss_at(h, start - 1) if start and mask[start - 1] else 0.0
        for step in range(start, len(xs)):
            h = np.tanh(xs[step] + h @ Wh)
            total = total + (loss_at(h, step) if mask[step] else 0.0)
        return total / mask.sum()

    h, norms = np.zeros(len(Wh)), []
    for start in range(len(xs) + 1):
        slopes = [np.imag(continued(h + 1j * STEP * unit, start)) / STEP for unit in np.eye(len(Wh))]
        norms.append(np.linalg.norm(slopes))
        if start < len(xs):
            h = np.tanh(xs[start] + h @ Wh)
    return np.array(norms)


def tokens(mask, seed=0):
    rng = np.random.default_rng(seed)
    return Batch(rng.integers(4, size=mask.shape), rng.integers(3, size=mask.shape), mask)


def expected(network, batch):
    return np.mean([of_sequence(network, batch, n) for n in range(batch.mask.shape[1])], axis=0)


def test_with_a_loss_at_every_step(tanh_network):
    network, batch = tanh_network(), tokens(np.ones((8, 4), bool))
    found = total_norms_by_time(network, batch, "classes")
    assert found.shape == (9,)
    np.testing.assert_allclose(found, expected(network, batch), rtol=1e-10)
    assert network.recurrent.h is None


def test_with_real_values(tanh_network):
    rng = np.random.default_rng(1)
    network = tanh_network(input_kind="values", output_size=2)
    batch = Batch(rng.random((6, 3, 2)), rng.random((6, 3, 2)), np.ones((6, 3), bool))
    np.testing.assert_allclose(total_norms_by_time(network, batch, "values"), expected(network, batch), rtol=1e-10)


def test_with_as_many_scored_steps_in_every_sequence_at_other_places(tanh_network):
    mask = np.random.default_rng(2).permuted(np.repeat([[True], [False]], [3, 5], axis=0).repeat(4, 1), axis=0)
    assert (mask.sum(axis=0) == 3).all()
    network, batch = tanh_network(), tokens(mask)
    np.testing.assert_allclose(total_norms_by_time(network, batch, "classes"), expected(network, batch), rtol=1e-10)


def test_with_more_scored_steps_in_one_sequence_than_in_another(tanh_network):
    mask = np.zeros((8, 3), bool)
    mask[:, 0] = mask[4:, 1] = mask[7, 2] = True
    network, batch = tanh_network(), tokens(mask)
    np.testing.assert_allclose(total_norms_by_time(network, batch, "classes"), expected(network, batch), rtol=1e-10)


def test_with_the_last_step_scored_alone_it_is_the_norms_by_lag_in_the_order_of_time(tanh_network):
    mask = np.zeros((7, 4), bool)
    mask[-1] = True
    batch = tokens(mask)
    by_lag = norms_by_lag(tanh_network(), batch, "classes").mean
    np.testing.assert_allclose(total_norms_by_time(tanh_network(), batch, "classes"), by_lag[::-1], rtol=1e-12)


def parts(batch):
    return batch.inputs, batch.targets, batch.mask


def test_the_norm_is_taken_first_and_the_mean_after(tanh_network):
    # The same sequence twice, its target once this and once that: their gradients differ, and partly cancel.
    one = tokens(np.ones((6, 1), bool))
    other = Batch(one.inputs, (one.targets + 1) % 3, one.mask)
    both = Batch(*(np.concatenate([a, b], 1) for a, b in zip(parts(one), parts(other), strict=True)))
    network = tanh_network()
    apart = [total_norms_by_time(network, batch, "classes") for batch in (one, other)]
    np.testing.assert_allclose(total_norms_by_time(network, both, "classes"), np.mean(apart, axis=0), rtol=1e-12)


def test_no_gradient_is_zero_at_every_time(tanh_network):
    network = tanh_network()
    network.parameters.values["output.W"][...] = 0.0
    assert total_norms_by_time(network, tokens(np.ones((5, 2), bool)), "classes").tolist() == [0.0] * 6


@pytest.mark.parametrize("steps", [1, 2])
def test_short_sequences(tanh_network, steps):
    network, batch = tanh_network(), tokens(np.ones((steps, 3), bool))
    np.testing.assert_allclose(total_norms_by_time(network, batch, "classes"), expected(network, batch), rtol=1e-10)
