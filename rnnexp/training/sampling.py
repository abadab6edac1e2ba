"""Sequences drawn from a trained network, one step after another."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.layers import Network


def generate(network: Network, start: int, steps: int, *, rng: Generator) -> NDArray[np.int64]:
    """Tokens drawn from the softmax of a network that predicts the next token, fed with its own draws.

    Parameters
    ----------
    network : Network
        Its own state is left alone.
    start : int
        The token that it is given first; not part of the result.
    steps : int
        Tokens to draw.
    rng : numpy Generator

    Returns
    -------
    integer array (steps,)
    """
    beside = network.replica()
    tokens = np.empty(steps, np.int64)
    token = np.array([[start]])
    for step in range(steps):
        logits: NDArray[Any] = beside.forward(token)[0, 0].astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        token[0, 0] = tokens[step] = rng.choice(len(probabilities), p=probabilities)
    return tokens
