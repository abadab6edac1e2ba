import numpy as np
import pytest

from rnnexp.gradients import gradient_snr, signal_to_noise
from rnnexp.tasks import Batch

MEAN = np.array([0.3, -0.2, 0.1, 0.0])
FACTOR = np.array([[1.0, 0.5, 0.0, 0.0], [0.0, 2.0, 0.3, 0.0], [0.0, 0.0, 0.7, 0.1], [0.0, 0.0, 0.0, 0.2]])


def test_three_gradients_by_hand():
    # The mean is (2, 1); the squared distances from it are 2, 2 and 4.
    found = signal_to_noise(np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]]))
    assert found.noise == pytest.approx(8.0 / 2.0, rel=1e-14)
    assert found.signal == pytest.approx(5.0 - 4.0 / 3.0, rel=1e-14)
    assert found.ratio == pytest.approx(11.0 / 12.0, rel=1e-14)
    assert found.batches == 3


@pytest.mark.parametrize("batches", [2, 3, 10])
def test_signal_and_noise_are_unbiased_for_a_known_mean_and_covariance(batches):
    rng, repeats = np.random.default_rng(batches), 20_000
    drawn = MEAN + rng.standard_normal((repeats, batches, 4)) @ FACTOR
    found = [signal_to_noise(gradients) for gradients in drawn]
    signal, noise = MEAN @ MEAN, np.sum(FACTOR**2)
    for values, true in ((np.array([f.signal for f in found]), signal), (np.array([f.noise for f in found]), noise)):
        error = values.std() / np.sqrt(repeats)
        assert abs(values.mean() - true) < 4 * error
    naive = np.sum(drawn.mean(axis=1) ** 2, axis=-1)  # without the correction the signal would be far too large
    assert naive.mean() - signal > 20 * naive.std() / np.sqrt(repeats)


def test_the_ratio_of_many_batches_is_the_true_one():
    drawn = MEAN + np.random.default_rng(0).standard_normal((200_000, 4)) @ FACTOR
    assert signal_to_noise(drawn).ratio == pytest.approx(MEAN @ MEAN / np.sum(FACTOR**2), rel=0.05)


def test_a_batch_of_n_has_n_times_the_ratio():
    drawn = MEAN + np.random.default_rng(1).standard_normal((4000, 25, 4)) @ FACTOR
    one, many = signal_to_noise(drawn.reshape(-1, 4)).ratio, signal_to_noise(drawn.mean(axis=1)).ratio
    assert many / one == pytest.approx(25.0, rel=0.1)


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1e-200, np.float64), (1e200, np.float64), (1e-30, np.float32), (1e-37, np.float32), (1e37, np.float32)],
)
def test_at_any_scale(scale, dtype):
    gradients = (scale * np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])).astype(dtype)
    assert signal_to_noise(gradients).ratio == pytest.approx(11.0 / 12.0, rel=1e-5)


@pytest.mark.parametrize(
    ("gradients", "ratio"),
    [
        ([[1.0, 2.0]] * 3, np.inf),
        ([[0.0, 0.0]] * 3, np.nan),
        ([[1.0, 2.0]], np.nan),
        ([], np.nan),
        ([[np.inf, 0.0], [1.0, 0.0]], np.nan),
    ],
)
def test_where_there_is_no_ratio(gradients, ratio):
    found = signal_to_noise(np.array(gradients).reshape(len(gradients), 2))
    assert np.array_equal(found.ratio, ratio, equal_nan=True)
    assert found.batches == len(gradients)


@pytest.mark.parametrize(("length", "stride"), [(None, None), (3, 2)])
def test_of_a_network_against_a_double_loop(tanh_network, loss_paths, length, stride):
    network, rng = tanh_network(), np.random.default_rng(5)
    steps = 7
    batches = [
        Batch(rng.integers(4, size=(steps, 2)), rng.integers(3, size=(steps, 2)), np.ones((steps, 2), bool))
        for _ in range(4)
    ]
    gradients = []
    for batch in batches:
        total = {name: np.zeros_like(value) for name, value in network.parameters.values.items()}
        for (t, s), shares in loss_paths(network, batch).items():
            if length is None or s >= min((t // stride + 1) * stride, steps) - length:
                for name, share in shares.items():
                    total[name] += share
        gradients.append(np.concatenate([total[name].ravel() for name in total]))
    mean = np.mean(gradients, axis=0)
    noise = sum(np.sum((gradient - mean) ** 2) for gradient in gradients) / 3
    found = gradient_snr(network, batches, "classes", length, stride)
    assert found.noise == pytest.approx(noise, rel=1e-12)
    assert found.signal == pytest.approx(mean @ mean - noise / 4, rel=1e-11)
