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
        (-0.5, 10, "vanishing"),
        (0.5, 10, "exploding"),
        (-0.004, 10, "nearly level"),
        (0.004, 10, "nearly level"),
        (-0.004, 200, "vanishing"),  # slow, but over many steps
        (0.004, 200, "exploding"),
        (0.0, 50, "nearly level"),
        (-0.7, 2, "vanishing"),  # a factor of 2.01 in the only step
        (-0.68, 2, "nearly level"),
    ],
)
def test_a_decay_rate_is_named_by_what_it_makes_of_the_gradient(rate, lags, word):
    line = decay_line(np.exp(rate * np.arange(lags))[:, np.newaxis])
    assert f"{rate:+.4f} per step back in time ({word}" in line


def test_only_lags_with_a_norm_count():
    norms = np.zeros((100, 1))
    norms[:10, 0] = np.exp(-0.05 * np.arange(10))
    assert "nearly level" in decay_line(norms)
    assert decay_line(np.zeros((5, 1))) is None
