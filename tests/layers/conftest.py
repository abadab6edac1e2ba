import numpy as np
import pytest

STEP = 1e-20


def _complex_step(loss, array):
    point = array.astype(complex)
    slope = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        point[index] += 1j * STEP
        slope[index] = loss(point).imag / STEP
        point[index] = array[index]
    return slope


def _assert_close(actual, expected, tolerance=1e-12):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 0, "all zero: this comparison would prove nothing"
    difference = np.abs(actual - expected).max()
    assert difference <= tolerance * scale, f"differs by {difference} at a scale of {scale}"


def _check_gradients(loss, arrays, gradients):
    assert arrays.keys() == gradients.keys()
    for name, array in arrays.items():

        def of_one(point, name=name):
            return loss(**{**arrays, name: point})

        _assert_close(gradients[name], _complex_step(of_one, array))


def _same_bits(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    assert np.any(expected != 0), "all zero: this comparison would prove nothing"
    if actual.tobytes() != expected.tobytes():
        pytest.fail(f"bits differ, by at most {np.abs(actual - expected).max()}")


@pytest.fixture(scope="session")
def complex_step():
    """complex_step(loss, array): d loss / d array, exact to rounding. loss must take a complex array."""
    return _complex_step


@pytest.fixture(scope="session")
def check_gradients():
    """check_gradients(loss, arrays, gradients): each named gradient is the complex-step one of loss(**arrays)."""
    return _check_gradients


@pytest.fixture(scope="session")
def assert_close():
    """assert_close(actual, expected, tolerance): largest difference relative to the largest expected value."""
    return _assert_close


@pytest.fixture(scope="session")
def same_bits():
    """same_bits(actual, expected): equal shape, dtype and bytes."""
    return _same_bits
