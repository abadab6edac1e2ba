import numpy as np
import pytest

from rnnexp.gradients import spectral_radius

ANGLE = 0.7
ROTATION = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[0.5]], 0.5),
        ([[-3.0]], 3.0),
        (np.eye(4), 1.0),
        (np.zeros((3, 3)), 0.0),
        (np.diag([0.1, -0.8, 0.3]), 0.8),
        (0.7 * ROTATION, 0.7),  # complex eigenvalues, no real one
        ([[0.0, 100.0], [0.0, 0.0]], 0.0),  # nilpotent: a norm of 100 and no eigenvalue but zero
        ([[0.5, 9.0, 9.0], [0.0, -0.9, 9.0], [0.0, 0.0, 0.2]], 0.9),
        ([[0.0, 4.0], [1.0, 0.0]], 2.0),
    ],
)
def test_known_matrices(matrix, expected):
    found = spectral_radius(np.asarray(matrix, float))
    assert type(found) is float
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_have_none(bad):
    for dtype in (np.float32, np.float64):
        matrix = np.eye(3, dtype=dtype)
        matrix[1, 2] = bad
        assert np.isnan(spectral_radius(matrix))


def test_float32_weights():
    matrix = np.random.default_rng(0).standard_normal((20, 20))
    assert spectral_radius(matrix.astype(np.float32)) == pytest.approx(spectral_radius(matrix), rel=1e-4)


def test_it_is_the_growth_of_a_long_product():
    matrix = np.random.default_rng(1).standard_normal((6, 6)) * 0.4
    power = np.linalg.matrix_power(matrix, 400)
    assert spectral_radius(matrix) == pytest.approx(np.linalg.norm(power) ** (1 / 400), rel=0.02)
