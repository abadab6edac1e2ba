"""Sums and maxima that layers take in their own way, against the plain one."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

from rnnexp.layers import SoftmaxCrossEntropy
from rnnexp.layers.base import row_norms


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 31, 63, 64, 65, 300])
def test_the_softmax_of_any_number_of_classes(size):
    rng = np.random.default_rng(size)
    loss = SoftmaxCrossEntropy()
    for steps, batch in ((6, 1), (2, 3), (9, 4), (3, 40)):
        # Far from zero, to each side, and the largest in every place.
        outputs = 30 * rng.standard_normal((steps, batch, size)) + 500 * rng.standard_normal((steps, batch, 1))
        targets = rng.integers(size, size=(steps, batch))
        each = logsumexp(outputs, axis=-1) - np.take_along_axis(outputs, targets[..., None], -1)[..., 0]
        assert loss.forward(outputs, targets) == pytest.approx(each.mean(), rel=1e-12, abs=1e-12)
        slope = np.exp(outputs - logsumexp(outputs, axis=-1, keepdims=True))
        np.put_along_axis(slope, targets[..., None], np.take_along_axis(slope, targets[..., None], -1) - 1, -1)
        np.testing.assert_allclose(loss.backward(), slope / (steps * batch), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [5, 64, 300])
def test_what_is_not_finite_is_told(size):
    for batch, bad, place in product((1, 16), (np.nan, np.inf), (0, size // 2, size - 1)):
        outputs = np.zeros((12, batch, size), np.float32)
        outputs[3, 0, place] = bad
        with np.errstate(invalid="ignore"):
            assert not math.isfinite(SoftmaxCrossEntropy().forward(outputs, np.zeros((12, batch), int)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("size", [1, 100, 8191, 8192, 8193, 30_000])
def test_norms_of_any_length(size, dtype):
    rng = np.random.default_rng(size)
    vectors = rng.standard_normal((3, size)).astype(dtype)
    norms = row_norms(vectors)
    for vector, norm in zip(vectors, norms, strict=True):
        exact = math.sqrt(math.fsum(float(value.real) ** 2 for value in vector))
        assert norm == pytest.approx(exact, rel=1e-14 if size < 10 else 1e-12)
        assert row_norms(vector) == norm  # alone, bit for bit


@pytest.mark.parametrize("size", [4, 30_000])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e200)])
def test_norms_whose_squares_over_or_underflow(size, dtype, scale):
    vector = np.full(size, scale, dtype)
    assert row_norms(vector) == pytest.approx(scale * math.sqrt(size), rel=1e-6)
