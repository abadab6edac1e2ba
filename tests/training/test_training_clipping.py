import numpy as np
import pytest
from training_cases import trained

from rnnexp.checks import InvalidValue
from rnnexp.training import NoClipping, NormClipping, ValueClipping, WeightDecay


def test_a_large_gradient_is_scaled_to_the_threshold():
    gradient = np.array([3.0, -4.0, 0.0])
    norm, clipped = NormClipping(2.0)(gradient)
    assert norm == 5.0
    assert clipped
    np.testing.assert_allclose(gradient, [1.2, -1.6, 0.0], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_random_gradient_keeps_its_direction_and_gets_the_threshold_as_norm(dtype):
    gradient = np.random.default_rng(0).standard_normal(500).astype(dtype) * 10
    before = gradient.astype(np.float64)
    norm, clipped = NormClipping(0.7)(gradient)
    tolerance = 1e-6 if dtype is np.float32 else 1e-13
    assert clipped
    assert gradient.dtype == dtype
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-12)
    np.testing.assert_allclose(gradient, before * 0.7 / np.linalg.norm(before), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.1, 1e-30, 0.0])
def test_a_small_gradient_stays_bit_identical(dtype, size):
    gradient = (np.random.default_rng(1).standard_normal(5) * size).astype(dtype)
    before = gradient.tobytes()
    norm, clipped = NormClipping(1.0)(gradient)
    assert not clipped
    assert gradient.tobytes() == before
    assert norm == pytest.approx(np.sqrt(np.square(gradient.astype(np.float64)).sum()), rel=1e-12)


def test_a_gradient_of_the_thresholds_own_norm_passes():
    gradient = np.array([3.0, 4.0])
    _, clipped = NormClipping(5.0)(gradient)
    assert not clipped
    assert gradient.tolist() == [3.0, 4.0]


def test_stacked_gradients_are_clipped_each_alone():
    rng = np.random.default_rng(2)
    stacked = (rng.standard_normal((4, 6)) * [[10.0], [0.01], [3.0], [1e-5]]).astype(np.float32)
    alone = stacked.copy()
    norm, clipped = NormClipping(1.0)(stacked)
    assert norm.shape == clipped.shape == (4,)
    assert clipped.tolist() == [True, False, True, False]
    for row in range(4):
        norm_alone, clipped_alone = NormClipping(1.0)(alone[row])
        assert norm[row] == norm_alone
        assert clipped[row] == clipped_alone
    assert stacked.tobytes() == alone.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_left_for_the_loop_to_see(bad):
    gradient = np.array([1.0, bad, 50.0])
    norm, _ = NormClipping(1.0)(gradient)
    assert not np.isfinite(norm)
    np.testing.assert_array_equal(gradient, [1.0, bad, 50.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_copy_that_is_not_finite_does_not_touch_the_others(bad):
    stacked = np.array([[bad, 1.0], [30.0, 40.0], [0.1, 0.2]])
    norm, clipped = NormClipping(5.0)(stacked)
    np.testing.assert_array_equal(stacked[0], [bad, 1.0])
    np.testing.assert_allclose(stacked[1:], [[3.0, 4.0], [0.1, 0.2]], rtol=1e-15)
    assert not np.isfinite(norm[0])
    assert clipped[1:].tolist() == [True, False]


def test_the_norm_of_float32_numbers_neither_under_nor_overflows():
    for size in (1e-30, 1e30):
        gradient = np.full(4, size, np.float32)
        assert NoClipping()(gradient)[0] == pytest.approx(2 * float(np.float32(size)), rel=1e-6)
    gradient = np.full(4, 1e30, np.float32)
    NormClipping(1.0)(gradient)
    np.testing.assert_allclose(gradient, 0.5, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_no_clipping_gives_the_norm_and_leaves_the_gradient(shape):
    gradient = np.random.default_rng(3).standard_normal(shape) * 1000
    before = gradient.tobytes()
    norm, clipped = NoClipping()(gradient)
    np.testing.assert_allclose(norm, np.linalg.norm(gradient, axis=-1), rtol=1e-12)
    assert np.shape(clipped) == shape[:-1]
    assert not np.any(clipped)
    assert gradient.tobytes() == before


VALUES = [
    ([3.0, -4.0, 0.0], 2.0, [2.0, -2.0, 0.0], True),
    ([3.0, -4.0, 0.5], 3.5, [3.0, -3.5, 0.5], True),
    ([3.0, -4.0, 0.5], 4.0, [3.0, -4.0, 0.5], False),
    ([3.0, -4.0, 0.5], 10.0, [3.0, -4.0, 0.5], False),
    ([-1e300, 1e-300], 1.0, [-1.0, 1e-300], True),
]


@pytest.mark.parametrize(("given", "threshold", "expected", "beyond"), VALUES)
def test_every_element_is_limited_by_itself(given, threshold, expected, beyond):
    gradient = np.array(given)
    norm, clipped = ValueClipping(threshold)(gradient)
    assert gradient.tolist() == expected
    assert norm == pytest.approx(np.hypot.reduce(given), rel=1e-15), "of the gradient as it was"
    assert bool(clipped) is beyond


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elements_below_the_threshold_keep_their_bits_beside_those_that_are_limited(dtype):
    gradient = np.random.default_rng(0).standard_normal(500).astype(dtype)
    before = gradient.copy()
    norm, clipped = ValueClipping(0.7)(gradient)
    small = np.abs(before) <= 0.7
    assert clipped
    assert 0 < small.sum() < 500
    assert gradient.dtype == dtype
    assert gradient[small].tobytes() == before[small].tobytes()
    assert np.array_equal(gradient[~small], np.copysign(dtype(0.7), before[~small]))
    assert norm == pytest.approx(np.linalg.norm(before.astype(np.float64)), rel=1e-12)
    assert norm.dtype == np.float64


def test_of_stacked_gradients_only_those_with_a_large_element_change():
    rng = np.random.default_rng(2)
    stacked = (rng.standard_normal((2, 2, 6)) * [[[10.0], [0.01]], [[3.0], [1e-5]]]).astype(np.float32)
    alone, before = stacked.copy(), stacked.copy()
    norm, clipped = ValueClipping(1.0)(stacked)
    assert clipped.tolist() == [[True, False], [True, False]]
    for copy in np.ndindex(2, 2):
        norm_alone, clipped_alone = ValueClipping(1.0)(alone[copy])
        assert norm[copy] == norm_alone
        assert clipped[copy] == clipped_alone
    assert stacked.tobytes() == alone.tobytes()
    assert stacked[:, 1].tobytes() == before[:, 1].tobytes()
    assert (np.abs(stacked[:, 0]).max(axis=-1) == 1.0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_limiting_leaves_what_is_not_finite_and_the_copy_it_is_in(bad):
    gradient = np.array([[1.0, bad, 50.0], [1.0, 2.0, 50.0]])
    norm, clipped = ValueClipping(5.0)(gradient)
    np.testing.assert_array_equal(gradient, [[1.0, bad, 50.0], [1.0, 2.0, 5.0]])
    assert np.isfinite(norm).tolist() == clipped.tolist() == [False, True]


def test_the_defaults():
    assert NormClipping().threshold == ValueClipping().threshold == 1.0


@pytest.mark.parametrize("clipping", [NormClipping, ValueClipping])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "abc", True, None])
def test_a_threshold_that_is_no_number_above_zero_is_refused(clipping, value):
    with pytest.raises(InvalidValue, match=r"^threshold must be a number > 0, got .*\nclipping=none"):
        clipping(value)


@pytest.mark.parametrize("regularizer", [None, WeightDecay(5.0)], ids=["loss", "with penalty"])
def test_the_optimizer_is_given_the_limited_gradient_and_the_report_both_norms(
    every_step, network_for, frozen, regularizer
):
    task, gradients = every_step(length=5), []
    for clipping in (None, ValueClipping(0.01)):
        optimizer = frozen()
        reports = trained(network_for(task), task, optimizer, 2, clipping=clipping, regularizer=regularizer)
        gradients.append(optimizer.gradients)
    for whole, limited, report in zip(*gradients, reports, strict=True):
        assert np.array_equal(limited, np.clip(whole, -0.01, 0.01))
        assert report.clipped is True
        assert report.grad_norm == pytest.approx(np.linalg.norm(whole), rel=1e-12)
        assert report.clipped_norm == pytest.approx(np.linalg.norm(limited), rel=1e-12)
        assert report.clipped_norm < report.grad_norm
