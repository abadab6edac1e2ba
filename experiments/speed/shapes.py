"""What is trained: the sizes, and data and weights that all contenders are given alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEARNING_RATE = 0.1
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Shape:
    """Sizes of a training step.

    Tokens go through an embedding of `D` features and a class is predicted at every step. With ``O == 1``, `D` values
    go straight into the cell and one value is predicted at every step.

    Attributes
    ----------
    N, T, D, H, O : int
        Sequences, steps, features, hidden units, outputs.
    """

    N: int
    T: int
    D: int
    H: int
    O: int  # noqa: E741

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """From ``N,T,D,H,O``."""
        sizes = [int(part) for part in text.split(",")]
        if len(sizes) != 5 or min(sizes) < 1:
            raise ValueError(f"a shape is five whole numbers N,T,D,H,O, all >= 1, got {text}")
        return cls(*sizes)

    @property
    def tokens(self) -> bool:
        """Tokens in and classes out, not values in and out."""
        return self.O > 1

    def __str__(self) -> str:
        return f"{self.N},{self.T},{self.D},{self.H},{self.O}"


SHAPES = [
    Shape(1, 20, 5, 10, 4),
    Shape(16, 20, 5, 10, 4),
    Shape(20, 35, 100, 100, 418),
    Shape(32, 100, 32, 128, 32),
    Shape(20, 750, 2, 100, 1),
    Shape(64, 128, 128, 512, 128),
]
QUICK = SHAPES[:2]
CASES = [("rnn", shape) for shape in SHAPES] + [(cell, SHAPES[at]) for cell in ("gru", "lstm") for at in (2, 4)]


def data(shape: Shape) -> tuple[Array, Array]:
    """Inputs and targets, time first: tokens and classes (T, N), or values (T, N, D) and (T, N, 1)."""
    rng = np.random.default_rng(1)
    if shape.tokens:
        tokens = rng.integers(shape.O, size=(shape.T + 1, shape.N))
        return tokens[:-1], tokens[1:]
    inputs = rng.standard_normal((shape.T, shape.N, shape.D), dtype=np.float32)
    return inputs, inputs.sum(axis=-1, keepdims=True).clip(-1.0, 1.0)


def joined(weight: Array) -> Array:
    """Matrices (G, fan_in, H) or biases (G, H) of all gates, concatenated: (fan_in, G * H) or (G * H,)."""
    if weight.ndim == 2:
        return weight.reshape(-1)
    return np.concatenate(list(weight), axis=-1)
