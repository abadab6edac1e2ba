"""How much of the gradient is signal: its mean over batches against its scatter from batch to batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnexp.gradients.passes import QUIET
from rnnexp.gradients.truncation import fixed_windows, truncated_gradient
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.tasks import Batch


@dataclass(frozen=True)
class SignalToNoise:
    """The gradient's signal-to-noise ratio, estimated from K independent batches.

    Attributes
    ----------
    ratio : float
        `signal` / `noise`; infinite where all gradients are the same, NaN where they are zero or there are fewer than
        two. Like `signal` it can come out negative where the true one is near 0.
    signal : float
        Estimate of ||E g||^2.
    noise : float
        Estimate of tr Cov(g), the variance of one batch's gradient summed over the parameters.
    batches : int
        K.
    """

    ratio: float
    signal: float
    noise: float
    batches: int


@np.errstate(**QUIET)
def signal_to_noise(gradients: Iterable[Array]) -> SignalToNoise:
    """||E g||^2 / tr Cov(g) from the gradients (P,) of K independent batches at the same weights.

    With m the mean of the K gradients:

        noise  = sum over k of ||g_k - m||^2 / (K - 1)
        signal = ||m||^2 - noise / K

    Both are unbiased: E ||m||^2 is ||E g||^2 + tr Cov(g) / K. Their quotient is so up to terms of order 1/K. It is
    B / B_simple in the terms of McCandlish, Kaplan & Amodei 2018, section 2.2, with B the batch size. Gradients are
    taken one after the other, and only two vectors are kept.
    """
    count, scale, scatter = 0, 0.0, 0.0
    mean = np.zeros(1)
    for gradient in gradients:
        count += 1
        scale = scale or float(row_norms(gradient))  # so that no square under- or overflows
        change = gradient.astype(np.float64) / (scale or 1.0) - mean
        mean = mean + change / count
        scatter += (count - 1) / count * float(row_norms(change)) ** 2
    noise = scatter / (count - 1) if count > 1 else float("nan")
    signal = float(row_norms(mean)) ** 2 - noise / max(count, 1)
    ratio = float(np.float64(signal) / noise)
    return SignalToNoise(ratio, signal * scale * scale, noise * scale * scale, count)


def gradient_snr(
    network: Network, batches: Sequence[Batch], target_kind: str, length: int | None = None, stride: int | None = None
) -> SignalToNoise:
    """The signal-to-noise ratio of the gradient of BPTT(length; stride) over batches of whole sequences.

    Parameters
    ----------
    network
        Its state and gradient are overwritten.
    batches : sequence of Batch
        K >= 2 independent ones, all of training's batch size.
    target_kind : {"classes", "values"}
    length, stride
        As for `truncation_bias`: the gradient is the one that it compares with the full one.
    """
    return signal_to_noise(
        truncated_gradient(network, batch, target_kind, fixed_windows(len(batch.inputs), length, stride))
        for batch in batches
    )
