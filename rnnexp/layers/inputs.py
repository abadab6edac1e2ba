"""The input map for tokens: a learned table, or one-hot vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rnnexp.layers.base import Layer

Array = NDArray[Any]


class TimeEmbedding(Layer):
    """A row of a table for each token: x_t = W[token_t].

    Parameters
    ----------
    W : array (..., V, D)
        One row of D features for each of V tokens.
    """

    def __init__(
        self,
        W: ArrayLike,
        *,
        batch_first: bool = False,
        grads: Sequence[Array] | None = None,
        reuse: bool = False,
    ) -> None:
        super().__init__((W,), grads, batch_first=batch_first, reuse=reuse)

    def forward(self, tokens: ArrayLike, first: int = 0) -> Array:
        """Tokens (T, ..., N) -> (T, ..., N, D); an IndexError if a token is not in the table."""
        tokens = self._given(tokens, features=False)
        (W,) = self.params
        _check_tokens(tokens, W.shape[-2])
        copies = int(np.prod(W.shape[:-2]))
        # Row c * V + token of all tables laid one under the other is the token's row in table c.
        offsets = (np.arange(copies) * W.shape[-2]).reshape(*W.shape[:-2], 1)
        self._rows = tokens if W.ndim == 2 else tokens + offsets
        xs = self._steps("xs", (*tokens.shape, W.shape[-1]), W.dtype)
        np.take(W.reshape(-1, W.shape[-1]), self._rows[first:], axis=0, out=xs[first:])
        return self._returned(xs)

    def backward(self, dxs: ArrayLike) -> None:
        """dL/dxs (T, ..., N, D): each row of dW is the sum over the steps that used it. Tokens have no gradient."""
        dxs = self._given(dxs)
        (dW,) = self.grads
        used = self._rows.ravel()
        order = np.argsort(used, kind="stable")
        ordered = used[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums = np.add.reduceat(dxs.reshape(-1, dxs.shape[-1])[order], starts, axis=0)
        target = np.zeros((dW.size // dW.shape[-1], dW.shape[-1]), dW.dtype)
        target[ordered[starts]] = sums
        dW[...] = target.reshape(dW.shape)

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window."""
        self._steps.drop("xs", steps)


class TimeOneHot(Layer):
    """One-hot vectors for tokens, as the papers feed them: x_t = e(token_t). Nothing is learned.

    Parameters
    ----------
    size : int
        V, the number of tokens.
    dtype : dtype
        Of the vectors.
    """

    def __init__(
        self, size: int, *, dtype: DTypeLike = np.float64, batch_first: bool = False, reuse: bool = False
    ) -> None:
        super().__init__((), None, batch_first=batch_first, reuse=reuse)
        self._table = np.eye(size, dtype=dtype)

    def forward(self, tokens: ArrayLike, first: int = 0) -> Array:
        """Tokens (T, ..., N) -> (T, ..., N, V)."""
        tokens = self._given(tokens, features=False)
        _check_tokens(tokens, len(self._table))
        xs = self._steps("xs", (*tokens.shape, len(self._table)), self._table.dtype)
        np.take(self._table, tokens[first:], axis=0, out=xs[first:])
        return self._returned(xs)

    def backward(self, dxs: ArrayLike) -> None:
        """Nothing: there is no parameter and tokens have no gradient."""

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window."""
        self._steps.drop("xs", steps)


def _check_tokens(tokens: Array, size: int) -> None:
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
        raise IndexError(f"tokens must be from 0 to {size - 1}, got {tokens.min()} to {tokens.max()}")
