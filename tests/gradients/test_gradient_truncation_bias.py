import numpy as np
import pytest

from rnnexp.gradients import TruncationBias, fixed_windows, full_gradient, truncation_bias, windowed_gradient
from rnnexp.gradients.truncation import compare
from rnnexp.tasks import Batch

STEPS, COUNT = 7, 3
WINDOWS = [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 1), (4, 3), (5, 5), (6, 2), (6, 4), (6, 6), (7, 1), (7, 3)]


def mask_of(kind):
    mask = np.zeros((STEPS, COUNT), bool)
    if kind == "last step":
        mask[-1] = True
    elif kind == "all steps":
        mask[:] = True
    elif kind == "some steps":
        mask[[0, 2, 3, 6, 4, 4], [0, 0, 1, 1, 1, 2]] = True
    elif kind == "one early step":
        mask[2, 1] = True
    return mask


def batch_of(kind, *, values=False):
    rng, mask = np.random.default_rng(0), mask_of(kind)
    if values:
        return Batch(rng.standard_normal((STEPS, COUNT, 2)), rng.standard_normal((STEPS, COUNT, 3)), mask)
    return Batch(rng.integers(4, size=(STEPS, COUNT)), rng.integers(3, size=(STEPS, COUNT)), mask)


def gathered(network, paths, length, stride):
    """The ways that BPTT(length; stride) goes, as a vector in the order of the parameters."""
    total = {name: np.zeros_like(value) for name, value in network.parameters.values.items()}
    for (t, s), shares in paths.items():
        # Loss t belongs to the update at the end of its stride, or of the sequence; the window ends there.
        end = min((t // stride + 1) * stride, STEPS)
        if s >= end - length:
            for name, share in shares.items():
                total[name] += share
    return np.concatenate([total[name].ravel() for name in network.parameters.values])


@pytest.mark.parametrize("kind", ["last step", "all steps", "some steps", "one early step"])
def test_against_a_double_loop_over_losses_and_earlier_steps(tanh_network, loss_paths, kind):
    network, batch = tanh_network(), batch_of(kind)
    paths = loss_paths(network, batch)
    full = gathered(network, paths, STEPS, STEPS)
    scale = np.abs(full).max()
    np.testing.assert_allclose(full_gradient(network, batch, "classes"), full, rtol=0, atol=1e-13 * scale)
    for length, stride in WINDOWS:
        truncated = gathered(network, paths, length, stride)
        found = windowed_gradient(network, batch, "classes", fixed_windows(STEPS, length, stride))
        np.testing.assert_allclose(found, truncated, rtol=0, atol=1e-13 * scale)
        bias = truncation_bias(network, batch, "classes", length, stride)
        cosine = truncated @ full / np.linalg.norm(truncated) / np.linalg.norm(full)
        assert bias.cosine == pytest.approx(cosine, abs=1e-13)
        assert bias.relative_error == pytest.approx(np.linalg.norm(truncated - full) / np.linalg.norm(full), abs=1e-13)
        assert (bias.relative_error > 1e-3) == any(truncated - full > 1e-6)


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 2), (4, 4)])
def test_with_real_values(tanh_network, loss_paths, length, stride):
    network, batch = tanh_network(input_kind="values"), batch_of("some steps", values=True)
    truncated = gathered(network, loss_paths(network, batch), length, stride)
    found = windowed_gradient(network, batch, "values", fixed_windows(STEPS, length, stride))
    np.testing.assert_allclose(found, truncated, rtol=0, atol=1e-13 * np.abs(truncated).max())


@pytest.mark.parametrize("kind", ["last step", "all steps", "some steps"])
def test_a_window_over_the_whole_sequence_has_none_at_all(tanh_network, kind):
    windows = [(STEPS, None), (STEPS + 5, None), (STEPS, STEPS), (None, STEPS), (STEPS + 5, STEPS), (None, 99)]
    for length, stride in [(None, None), *windows]:
        assert truncation_bias(tanh_network(), batch_of(kind), "classes", length, stride) == TruncationBias(1.0, 0.0)


@pytest.mark.parametrize("stride", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [None, STEPS, STEPS + 5])
def test_shorter_strides_under_it_have_none_but_rounding(tanh_network, length, stride):
    bias = truncation_bias(tanh_network(), batch_of("all steps"), "classes", length, stride)
    assert bias.cosine == pytest.approx(1.0, abs=1e-14)
    assert bias.relative_error < 1e-14


@pytest.mark.parametrize("length", [1, 3, 6])
def test_without_a_stride_it_is_the_length(tanh_network, length):
    batch = batch_of("all steps")
    expected = truncation_bias(tanh_network(), batch, "classes", length, length)
    assert truncation_bias(tanh_network(), batch, "classes", length) == expected


def test_for_a_last_loss_the_error_shrinks_with_the_window(linear_network):
    batch = batch_of("last step")
    errors = [truncation_bias(linear_network(0.3), batch, "classes", length).relative_error for length in range(1, 8)]
    assert errors[0] > 0.01
    assert (np.diff(errors[:-1]) < 0).all()
    assert errors[-1] == 0.0


def test_one_step_sequences_are_never_truncated(tanh_network):
    one = batch_of("all steps").steps(0, 1)
    for length, stride in [(None, None), (1, 1), (20, 5), (1, None)]:
        assert truncation_bias(tanh_network(), one, "classes", length, stride) == TruncationBias(1.0, 0.0)


def test_a_carried_state_does_not_get_in_and_none_is_left(tanh_network):
    network, batch = tanh_network(), batch_of("all steps")
    expected = truncation_bias(network, batch, "classes", 3, 2)
    assert network.recurrent.h is None
    network.recurrent.set_state(np.full((COUNT, 5), 0.8))
    assert truncation_bias(network, batch, "classes", 3, 2) == expected
    network.recurrent.set_state(np.full((COUNT, 5), 0.8))
    full_gradient(network, batch, "classes")
    assert network.recurrent.h is None


def test_the_gradients_are_copies(tanh_network):
    network, batch = tanh_network(), batch_of("all steps")
    full = full_gradient(network, batch, "classes")
    kept = full.copy()
    windowed_gradient(network, batch, "classes", fixed_windows(STEPS, 2, 1))
    network.parameters.gradient[...] = 7.0
    assert np.array_equal(full, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_of_zero_has_no_angle_and_no_relative_error(linear_network, dtype):
    network, batch = linear_network(dtype=dtype), batch_of("last step")
    network.parameters.vector[...] = 0.0
    batch.targets[...] = 0
    network.parameters.values["output.b"][...] = [2000.0, 0.0, 0.0]  # certain, and right: the loss is flat
    for length in (None, 2):
        bias = truncation_bias(network, batch, "classes", length)
        assert np.isnan([bias.cosine, bias.relative_error]).all()


def test_float32_agrees_with_float64(linear_network):
    batch = batch_of("all steps")
    wide = truncation_bias(linear_network(), batch, "classes", 2)
    narrow = truncation_bias(linear_network(dtype=np.float32), batch, "classes", 2)
    assert narrow.cosine == pytest.approx(wide.cosine, rel=1e-5)
    assert narrow.relative_error == pytest.approx(wide.relative_error, rel=1e-5)


VECTORS = [
    ([1.0, 0.0], [1.0, 0.0], 1.0, 0.0),
    ([2.0, 0.0], [1.0, 0.0], 1.0, 1.0),
    ([0.0, 1.0], [1.0, 0.0], 0.0, np.sqrt(2.0)),
    ([-1.0, 0.0], [1.0, 0.0], -1.0, 2.0),
    ([3.0, 4.0], [5.0, 0.0], 0.6, np.sqrt(20.0) / 5.0),
]


@pytest.mark.parametrize(
    ("scale", "dtype", "within"),
    [
        (1.0, np.float64, 1e-15),
        (1.0, np.float32, 1e-6),
        (1e-30, np.float32, 1e-6),
        (1e-37, np.float32, 1e-6),
        (1e37, np.float32, 1e-6),
        (1e-150, np.float64, 1e-15),
        (1e200, np.float64, 1e-15),
    ],
)
def test_the_comparison_of_two_vectors_at_any_scale(scale, dtype, within):
    for truncated, full, cosine, error in VECTORS:
        found = compare(*((scale * np.array(vector)).astype(dtype) for vector in (truncated, full)))
        assert found.cosine == pytest.approx(cosine, abs=within)
        assert found.relative_error == pytest.approx(error, abs=within)
        assert type(found.cosine) is type(found.relative_error) is float


@pytest.mark.parametrize("scale", [1e-160, 1e-170, 1e-300])
def test_float64_vectors_whose_squares_are_below_float64(scale):
    found = compare(scale * np.array([3.0, 4.0]), scale * np.array([5.0, 0.0]))
    assert found.cosine == pytest.approx(0.6, rel=1e-12)
    assert found.relative_error == pytest.approx(np.sqrt(0.8), rel=1e-12)


def test_float32_vectors_whose_norm_is_beyond_float32():
    # Every value is a float32, the norm 6e38 is not.
    full = np.full(4, 3e38, np.float32)
    found = compare(full / 2, full)
    assert found.cosine == pytest.approx(1.0, abs=1e-6)
    assert found.relative_error == pytest.approx(0.5, abs=1e-6)


def test_a_cosine_stays_between_minus_one_and_one():
    rng = np.random.default_rng(0)
    for size in range(1, 60):
        vector = rng.standard_normal(size)
        assert -1.0 <= compare(-3.0 * vector, vector).cosine < -1.0 + 1e-12
        assert 1.0 >= compare(3.0 * vector, vector).cosine > 1.0 - 1e-12


def test_a_truncated_gradient_of_zero_has_no_angle_but_misses_everything():
    found = compare(np.zeros(3), np.array([1.0, 2.0, 2.0]))
    assert np.isnan(found.cosine)
    assert found.relative_error == 1.0


@pytest.mark.parametrize(
    ("truncated", "full"),
    [
        ([1.0, 0.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([np.nan, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [np.nan, 0.0]),
        ([np.inf, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [-np.inf, 0.0]),
        ([np.inf, 0.0], [np.inf, 0.0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_is_nothing_to_compare_with_zero_or_what_is_not_finite(truncated, full, dtype):
    found = compare(np.array(truncated, dtype), np.array(full, dtype))
    assert np.isnan([found.cosine, found.relative_error]).all()
