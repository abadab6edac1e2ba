import numpy as np
import pytest

from rnnexp.gradients import NormsByLag, norms_by_lag
from rnnexp.tasks import Batch

STEPS, COUNT = 9, 5


def tokens(rng, mask=None, steps=STEPS, count=COUNT):
    """Random tokens and classes; the last step is scored unless `mask` says otherwise."""
    if mask is None:
        mask = np.zeros((steps, count), bool)
        mask[-1] = True
    return Batch(rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), mask)


@pytest.fixture
def batch():
    return tokens(np.random.default_rng(0))


def test_an_orthogonal_linear_recurrence_keeps_the_norm(linear_network, batch):
    norms = norms_by_lag(linear_network(), batch, "classes")
    assert norms.per_sequence.shape == (STEPS + 1, COUNT)
    np.testing.assert_allclose(norms.per_sequence, np.tile(norms.per_sequence[0], (STEPS + 1, 1)), rtol=1e-13)
    assert (norms.per_sequence[0] > 0.01).all()
    assert norms.decay_rate == pytest.approx(0.0, abs=1e-13)
    assert norms.log10_ratio == pytest.approx(0.0, abs=1e-13)


@pytest.mark.parametrize("gain", [0.9, 0.3, 1.25])
def test_a_scaled_orthogonal_recurrence_changes_it_by_its_scale_a_step(linear_network, batch, gain):
    norms = norms_by_lag(linear_network(gain), batch, "classes")
    expected = norms.per_sequence[0] * gain ** np.arange(STEPS + 1)[:, np.newaxis]
    np.testing.assert_allclose(norms.per_sequence, expected, rtol=1e-12)
    assert norms.decay_rate == pytest.approx(np.log(gain), rel=1e-12)
    assert norms.log10_ratio == pytest.approx(STEPS * np.log10(gain), rel=1e-12)


def test_at_lag_zero_it_is_the_output_layer_alone(linear_network, batch):
    network = linear_network()
    outputs = network.forward(batch.inputs)[-1]
    network.reset_state()
    chances = np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True)
    errors = chances - np.eye(3)[batch.targets[-1]]
    expected = np.linalg.norm(errors @ network.parameters.values["output.W"].T, axis=-1)
    np.testing.assert_allclose(norms_by_lag(network, batch, "classes").per_sequence[0], expected, rtol=1e-12)


def test_every_norm_equals_that_of_a_complex_step_through_the_continued_sequence(
    tanh_network, batch, last_loss_gradients
):
    network = tanh_network()
    found = norms_by_lag(network, batch, "classes").per_sequence
    for sequence in range(COUNT):
        by_time = last_loss_gradients(network, batch.inputs[:, sequence], batch.targets[-1, sequence], STEPS - 1)
        np.testing.assert_allclose(found[:, sequence], np.linalg.norm(by_time, axis=-1)[::-1], rtol=1e-10)


def test_real_valued_sequences_too(tanh_network, last_loss_gradients):
    rng = np.random.default_rng(1)
    network = tanh_network(input_kind="values", output_size=2)
    mask = np.zeros((6, 3), bool)
    mask[-1] = True
    batch = Batch(rng.random((6, 3, 2)), rng.random((6, 3, 2)), mask)
    found = norms_by_lag(network, batch, "values").per_sequence
    for sequence in range(3):
        by_time = last_loss_gradients(network, batch.inputs[:, sequence], batch.targets[-1, sequence], 5)
        np.testing.assert_allclose(found[:, sequence], np.linalg.norm(by_time, axis=-1)[::-1], rtol=1e-10)


def test_the_norm_is_taken_first_and_the_mean_after(tanh_network, batch, last_loss_gradients):
    network = tanh_network()
    mean = norms_by_lag(network, batch, "classes").mean
    by_time = np.stack(
        [last_loss_gradients(network, batch.inputs[:, n], batch.targets[-1, n], STEPS - 1) for n in range(COUNT)]
    )
    mean_of_norms = np.linalg.norm(by_time, axis=-1).mean(axis=0)[::-1]
    norm_of_mean = np.linalg.norm(by_time.mean(axis=0), axis=-1)[::-1]
    np.testing.assert_allclose(mean, mean_of_norms, rtol=1e-10)
    assert (np.abs(mean - norm_of_mean) > 1e-2 * mean).all()


def test_a_sequences_norms_do_not_depend_on_its_neighbours(tanh_network, batch):
    together = norms_by_lag(tanh_network(), batch, "classes").per_sequence
    for count in (1, 3):
        part = norms_by_lag(tanh_network(), batch.sequences(count), "classes").per_sequence
        np.testing.assert_allclose(part, together[:, :count], rtol=1e-12)


def test_scored_steps_before_the_last_have_no_say(tanh_network, batch):
    everywhere = Batch(batch.inputs, batch.targets, np.ones((STEPS, COUNT), bool))
    one = norms_by_lag(tanh_network(), everywhere, "classes").per_sequence
    assert np.array_equal(one, norms_by_lag(tanh_network(), batch, "classes").per_sequence)


def ragged(rng, last):
    """Sequences whose last scored steps are given; some steps before are scored, too."""
    mask = rng.random((STEPS, len(last))) < 0.5
    for sequence, step in enumerate(last):
        mask[step, sequence] = True
        mask[step + 1 :, sequence] = False
    return tokens(rng, mask, count=len(last))


def test_sequences_that_end_at_different_steps_are_aligned_by_lag(tanh_network, last_loss_gradients):
    last = [8, 3, 0, 5, 3]
    batch, network = ragged(np.random.default_rng(4), last), tanh_network()
    norms = norms_by_lag(network, batch, "classes")
    assert norms.per_sequence.shape == (10, 5)
    assert norms.lags.tolist() == list(range(10))
    for sequence, step in enumerate(last):
        column = norms.per_sequence[:, sequence]
        by_time = last_loss_gradients(network, batch.inputs[:, sequence], batch.targets[step, sequence], step)
        np.testing.assert_allclose(column[: step + 2], np.linalg.norm(by_time, axis=-1)[::-1], rtol=1e-10)
        assert np.isnan(column[step + 2 :]).all()


def test_an_orthogonal_recurrence_keeps_the_norm_of_sequences_of_any_length(linear_network):
    batch = ragged(np.random.default_rng(4), [8, 3, 0, 5])
    norms = norms_by_lag(linear_network(), batch, "classes")
    per_sequence = norms.per_sequence / norms.per_sequence[0]
    np.testing.assert_allclose(per_sequence[np.isfinite(per_sequence)], 1.0, rtol=1e-12)
    # No sequence's gradient shrinks or grows, so that their summary must not either.
    assert norms.log10_ratio == pytest.approx(0.0, abs=1e-12)
    assert norms.decay_rate == pytest.approx(0.0, abs=1e-12)


def test_the_mean_at_a_lag_is_over_the_sequences_that_reach_it(tanh_network):
    norms = norms_by_lag(tanh_network(), ragged(np.random.default_rng(4), [8, 3, 5]), "classes")
    table = norms.per_sequence
    assert norms.mean[0] == pytest.approx(table[0].mean(), rel=1e-14)
    assert norms.mean[5] == pytest.approx((table[5, 0] + table[5, 2]) / 2, rel=1e-14)
    assert norms.mean[9] == pytest.approx(table[9, 0], rel=1e-14)


def test_steps_after_the_last_scored_one_have_no_say(tanh_network):
    batch = ragged(np.random.default_rng(4), [4, 4, 2])
    short = norms_by_lag(tanh_network(), batch.steps(0, 5), "classes").per_sequence
    long = norms_by_lag(tanh_network(), batch, "classes").per_sequence
    assert short.shape == long.shape == (6, 3)
    np.testing.assert_allclose(long, short, rtol=1e-12)


def test_sequences_without_a_scored_step_are_left_out(tanh_network, batch):
    mask = batch.mask.copy()
    mask[:, [1, 4]] = False
    some = norms_by_lag(tanh_network(), Batch(batch.inputs, batch.targets, mask), "classes").per_sequence
    all_of_them = norms_by_lag(tanh_network(), batch, "classes").per_sequence
    assert some.shape == (STEPS + 1, 3)
    np.testing.assert_allclose(some, all_of_them[:, [0, 2, 3]], rtol=1e-12)


def test_without_any_scored_step_there_is_nothing_to_study(tanh_network, batch):
    with pytest.raises(ValueError, match="no step of these sequences is scored"):
        norms_by_lag(tanh_network(), Batch(batch.inputs, batch.targets, np.zeros_like(batch.mask)), "classes")


def test_the_batch_is_left_as_it_was(tanh_network, batch):
    before = [array.copy() for array in (batch.inputs, batch.targets, batch.mask)]
    norms_by_lag(tanh_network(), batch, "classes")
    assert all(map(np.array_equal, before, (batch.inputs, batch.targets, batch.mask)))


def test_a_carried_state_does_not_get_in_and_none_is_left(tanh_network, batch):
    network = tanh_network()
    expected = norms_by_lag(network, batch, "classes").per_sequence
    assert network.recurrent.h is None
    network.recurrent.set_state(np.full((COUNT, 5), 0.8))
    assert np.array_equal(norms_by_lag(network, batch, "classes").per_sequence, expected)


def test_a_replica_keeps_the_networks_state_and_gradient(tanh_network, batch):
    network = tanh_network()
    network.forward(batch.inputs)
    network.backward(np.ones((STEPS, COUNT, 3)))
    kept = [array.copy() for array in (network.recurrent.h, network.parameters.gradient, network.parameters.vector)]
    norms_by_lag(network.replica(), batch, "classes")
    now = (network.recurrent.h, network.parameters.gradient, network.parameters.vector)
    assert all(map(np.array_equal, kept, now))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_gradient_gives_no_numbers_and_no_warning(linear_network, batch, dtype):
    network = linear_network(dtype=dtype)
    network.parameters.values["output.W"][...] = 0.0
    norms = norms_by_lag(network, batch, "classes")
    assert not norms.per_sequence.any()
    assert not norms.mean.any()
    assert np.isnan(norms.log10_ratio)
    assert np.isnan(norms.decay_rate)


def test_a_gradient_that_ends_has_no_ratio(linear_network, batch):
    network = linear_network()
    network.parameters.values["recurrent.Wh"][...] = 0.0
    norms = norms_by_lag(network, batch, "classes")
    assert norms.mean[0] > 0
    assert not norms.mean[1:].any()
    assert np.isnan(norms.log10_ratio)
    assert np.isnan(norms.decay_rate), "one lag alone has no slope"


def test_float32_agrees_with_float64(linear_network, batch):
    wide = norms_by_lag(linear_network(0.5), batch, "classes").per_sequence
    narrow = norms_by_lag(linear_network(0.5, dtype=np.float32), batch, "classes").per_sequence
    assert narrow.dtype == np.float64
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)


def test_the_slope_is_the_least_squares_line_through_the_logarithms():
    table = np.exp(np.random.default_rng(0).standard_normal((12, 4)))
    norms = NormsByLag(table)
    np.testing.assert_allclose(norms.mean, table.mean(axis=1), rtol=1e-14)
    assert norms.decay_rate == pytest.approx(np.polyfit(np.arange(12), np.log(table.mean(axis=1)), 1)[0], rel=1e-10)
    assert norms.log10_ratio == pytest.approx(np.log10(table[-1].mean() / table[0].mean()), rel=1e-12)


def test_the_slope_skips_lags_without_a_norm():
    table = np.array([[1.0], [0.0], [0.25], [np.nan], [0.0625]])
    assert NormsByLag(table).decay_rate == pytest.approx(-np.log(2.0), rel=1e-12)
    with_zero_at_the_end = NormsByLag(np.array([[1.0], [0.5], [0.0]]))
    assert with_zero_at_the_end.decay_rate == pytest.approx(-np.log(2.0), rel=1e-12)
    assert np.isnan(with_zero_at_the_end.log10_ratio)


def test_norms_that_are_very_small_still_have_a_ratio():
    norms = NormsByLag(np.array([[1e200], [1e-250]]))
    assert norms.log10_ratio == pytest.approx(-450.0, rel=1e-12)
    assert norms.decay_rate == pytest.approx(-450.0 * np.log(10.0), rel=1e-12)


def test_a_lag_that_no_sequence_reaches_has_no_mean_and_no_warning():
    assert np.isnan(NormsByLag(np.array([[1.0, 2.0], [np.nan, np.nan]])).mean[1])


def test_an_exploded_sequence_is_not_left_out_of_the_mean():
    # NaN marks what a sequence does not reach; infinity is a norm, and the mean without it would look healthy.
    norms = NormsByLag(np.array([[1.0, 1.0], [np.inf, 1.0]]))
    assert not np.isfinite(norms.mean[1])
    assert np.isnan(norms.log10_ratio)
