"""The lines that a run ends with."""

from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.gradients import NormsByLag
from rnnexp.tracking import summary


def decay_line(per_sequence):
    study = SimpleNamespace(norms=NormsByLag(np.asarray(per_sequence)), others={}, spectral_radius=np.nan, gates={})
    lines = [line for line in summary.gradient(SimpleNamespace(studies=[(0, study)])) if line.startswith("decay rate")]
    return lines[0] if lines else None


@pytest.mark.parametrize(
    ("rate", "lags", "word"),
    [
        (-0.5, 10, "vanishing, fit 1.00"),
        (0.5, 10, "exploding, fit 1.00"),
        (-0.004, 10, "kept: within a factor of 2 at all lags"),
        (0.004, 10, "kept: within a factor of 2 at all lags"),
        (-0.004, 200, "vanishing, fit 1.00"),  # slow, but over many steps
        (0.004, 200, "exploding, fit 1.00"),
        (0.0, 50, "kept: within a factor of 2 at all lags"),
        (-0.7, 2, "vanishing, fit 1.00"),  # a factor of 2.01 in the only step
        (-0.68, 2, "kept: within a factor of 2 at all lags"),
    ],
)
def test_a_decay_rate_is_named_by_what_it_makes_of_the_gradient(rate, lags, word):
    line = decay_line(np.exp(rate * np.arange(lags))[:, np.newaxis])
    assert f"{rate:+.4f} per step back in time ({word})" in line


def test_a_curve_that_is_no_line_is_described():
    line = decay_line(np.exp(np.abs(np.arange(10) - 5.0))[:, np.newaxis])
    assert line.endswith("-0.1515 per step back in time (not a line, fit 0.13: it falls to lag 5, then rises)")


def test_only_lags_with_a_norm_count():
    norms = np.zeros((100, 1))
    norms[:10, 0] = np.exp(-0.05 * np.arange(10))
    assert decay_line(norms).endswith("it stays level, and is zero or not finite at 90 of 100 lags)")
    assert decay_line(np.zeros((5, 1))) is None
