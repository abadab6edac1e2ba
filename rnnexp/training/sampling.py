"""Sequences continued by a trained network, which reads what it predicted: sampled tokens, or values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.components import checked
from rnnexp.layers import Network

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


@checked
def generate(
    network: Network, start: ArrayLike, steps: int, *, temperature: float = 1.0, rng: Generator
) -> NDArray[np.int64]:
    """Tokens sampled from the softmax of a network that predicts the next token, fed back as inputs.

    Parameters
    ----------
    network : Network
        Its state is left unchanged.
    start : int, or integer array (P,)
        The first input, or several; not part of the result.
    steps : int
        Tokens to sample.
    temperature : float
        What the logits are divided by, >= 0; 0 always takes the likeliest token.
    rng : numpy Generator

    Returns
    -------
    integer array (steps,)
    """
    temperature = number("temperature", temperature, at_least=0)
    beside = network.replica()
    tokens = np.empty(steps, np.int64)
    window = np.atleast_1d(np.asarray(start))[:, np.newaxis]
    for step in range(steps):
        logits: Array = beside.forward(window)[-1, 0].astype(np.float64)
        if temperature == 0.0:
            token = int(logits.argmax())
        else:
            with np.errstate(over="ignore"):  # near 0, all but the likeliest are minus infinity
                probabilities = np.exp((logits - logits.max()) / temperature)
            probabilities /= probabilities.sum()
            token = int(rng.choice(len(probabilities), p=probabilities))
        tokens[step] = token
        window = np.array([[token]])
    return tokens


@dataclass(frozen=True)
class Continuation:
    """A series that a network continues by itself, and the true one.

    Attributes
    ----------
    names : sequence of str
        Of the values that the network predicts.
    prompt : int
        P, the steps of the true series that it read.
    true : array (P + length, O)
        NaN where it is not known.
    generated : array (length, O)
        What the network made of the steps after the prompt.
    """

    names: Sequence[str]
    prompt: int
    true: Array
    generated: Array

    @property
    def rmse(self) -> float:
        """Root of the mean squared difference after the prompt, where the true series is known; NaN if it is not."""
        off = np.square(self.generated - self.true[self.prompt :])
        known = np.isfinite(off)
        return float(np.sqrt(off[known].mean())) if known.any() else float("nan")

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each step and value: `step`, `name`, `true`, `generated` (missing in the prompt)."""
        import pandas as pd

        steps, count = self.true.shape
        generated = np.concatenate([np.full((self.prompt, count), np.nan), self.generated])
        return pd.DataFrame(
            {
                "step": np.repeat(np.arange(steps), count),
                "name": list(self.names) * steps,
                "true": self.true.ravel(),
                "generated": generated.ravel(),
            }
        )

    def __repr__(self) -> str:
        apart = f", {self.rmse:.4g} from the true series (rmse)" if np.isfinite(self.rmse) else ""
        return f"Continuation({len(self.generated)} steps of {', '.join(self.names)} after {self.prompt}{apart})"


def continue_series(
    network: Network, series: Array, prompt: int, length: int, *, fed_back: Mapping[int, int], horizon: int = 1
) -> Array:
    """Outputs of a network that reads the first steps of a series, and then its own predictions.

    Parameters
    ----------
    network : Network
        Its state is left unchanged.
    series : array (T, D)
        Its inputs; those that are not predicted have to be there to the end, T >= prompt + length - horizon.
    prompt : int
        Steps of the series that are read, >= horizon.
    length : int
        Steps to continue it by, >= 1.
    fed_back : mapping of int to int
        The output that predicts an input, by the input.
    horizon : int
        h, >= 1: the output of step t predicts step t + h.

    Returns
    -------
    array (length, O)
        What was predicted for each step after the prompt: for its first h steps from the prompt alone.

    Raises
    ------
    InvalidValue
        If prompt or length is out of range, or an input that is not predicted ends too soon.
    """
    length = integer("length", length, at_least=1)
    hint = f"the first prediction is for step {horizon}"
    if integer("prompt", prompt, at_least=horizon, hint=hint) > len(series):
        raise InvalidValue("prompt", prompt, f"at most {len(series)}, the steps of the series")
    last, rest = prompt + length, [column for column in range(series.shape[1]) if column not in fed_back]
    if rest and len(series) < last - horizon:
        hint = "inputs that the network does not predict are read from the series to the end"
        most = len(series) + horizon - prompt
        raise InvalidValue("length", length, f"at most {most} after {prompt} steps of this series", hint)
    beside = network.replica()
    predicted: list[Array] = list(beside.forward(series[:prompt, np.newaxis].astype(network.dtype))[:, 0])
    for step in range(prompt, last - horizon):  # predicted[t] is for step t + horizon
        inputs = np.empty((1, 1, series.shape[1]), network.dtype)
        inputs[0, 0, rest] = series[step, rest] if rest else ()
        for column, output in fed_back.items():
            inputs[0, 0, column] = predicted[step - horizon][output]
        predicted.append(beside.forward(inputs)[0, 0].copy())
    return np.array(predicted[prompt - horizon : last - horizon])
