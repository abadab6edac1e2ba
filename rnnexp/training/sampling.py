"""Sequences sampled from a trained network, one step at a time."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.components import checked
from rnnexp.layers import Network


@checked
def generate(network: Network, start: int, steps: int, *, rng: Generator) -> NDArray[np.int64]:
    """Tokens sampled from the softmax of a network that predicts the next token, fed back as inputs.

    Parameters
    ----------
    network : Network
        Its state is left unchanged.
    start : int
        The first input; not part of the result.
    steps : int
        Tokens to sample.
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
