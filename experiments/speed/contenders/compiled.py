"""PyTorch with `torch.compile`: forward pass, loss and their gradient are compiled as far as it can."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from shapes import Shape

from contenders import pytorch

VERSION = pytorch.VERSION


def make(cell: str, shape: Shape, weights: dict[str, NDArray[Any]]) -> Callable[[], float]:
    """A step; what can't be compiled stays as PyTorch runs it without."""
    return pytorch.make(cell, shape, weights, compiled=True)
