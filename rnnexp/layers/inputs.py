"""The input layers for tokens: an embedding, or one-hot vectors."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .base import Array, Layer, product, rows

#: Up to so many rows, the gradient of a table is one product with a matrix of ones and zeros.
SMALL_TABLE = 64
#: Numbers in the sums of a larger one beyond which `reduceat`, slow for each of them, is no longer the fastest way.
LARGE_SUMS, FEW_RUNS = 2**14, 16


class TimeEmbedding(Layer):
    """The embedding of each token, a row of a table: x_t = W[token_t].

    Parameters
    ----------
    W : array (..., V, D)
        One row of D features for each of V tokens.
    **options
        Those of `Layer`: ``grads``, ``batch_first``, ``reuse``.
    """

    kept: ClassVar[tuple[str, ...]] = ("xs",)

    def __init__(self, W: ArrayLike, **options: Any) -> None:
        super().__init__((W,), **options)

    def forward(self, tokens: ArrayLike, first: int = 0) -> Array:
        """Tokens (T, ..., N) -> (T, ..., N, D); an IndexError if a token is not in the table."""
        tokens = self._given(tokens, features=False)
        (W,) = self.params
        _check_tokens(tokens, W.shape[-2])
        self._tokens, rows = tokens, tokens[first:]
        if W.ndim > 2:
            # Row c * V + token of all tables laid one under the other is the token's row in table c.
            copies = int(np.prod(W.shape[:-2]))
            rows = rows + (np.arange(copies) * W.shape[-2]).reshape(*W.shape[:-2], 1)
        xs = self._steps("xs", (*tokens.shape, W.shape[-1]), W.dtype)
        W.reshape(-1, W.shape[-1]).take(rows, 0, xs[first:], "clip")  # checked; "raise" would buffer
        return self._returned(xs)

    def backward(self, dxs: ArrayLike) -> None:
        """dL/dxs (T, ..., N, D): each row of dW is the sum over the steps that used it. Tokens have no gradient."""
        dxs = self._given(dxs)
        (dW,) = self.grads
        size, copies = dW.shape[-2], dW.shape[:-2]
        used = self._tokens if not copies else np.moveaxis(self._tokens, 0, -2)
        used = used.reshape(*copies, -1)
        if size <= SMALL_TABLE:
            # Which step used which row, as ones in a matrix: (..., T * N, V).
            hits = np.zeros((*used.shape, size), dxs.dtype)
            hits.reshape(-1)[used.reshape(-1) + np.arange(0, hits.size, size)] = 1.0
            product(hits.swapaxes(-1, -2), rows(dxs), dW)
            return
        for copy in np.ndindex(copies):
            order, ordered, starts = _sorted_runs(used[copy], size)
            target = dW[copy]
            target[...] = 0.0
            target[ordered[starts]] = _run_sums(rows(dxs)[copy], order, starts)


class TimeOneHot(Layer):
    """One-hot vectors for tokens, as the papers feed them: x_t = e(token_t). Nothing is learned.

    Parameters
    ----------
    size : int
        V, the number of tokens.
    dtype : dtype
        Of the vectors.
    **options
        Those of `Layer`: ``batch_first``, ``reuse``.
    """

    kept: ClassVar[tuple[str, ...]] = ("xs",)

    def __init__(self, size: int, *, dtype: DTypeLike = np.float64, **options: Any) -> None:
        super().__init__((), **options)
        self.size, self.dtype = size, np.dtype(dtype)
        self._table = np.eye(size, dtype=dtype)

    def forward(self, tokens: ArrayLike, first: int = 0) -> Array:
        """Tokens (T, ..., N) -> (T, ..., N, V)."""
        tokens = self._given(tokens, features=False)
        _check_tokens(tokens, len(self._table))
        xs = self._steps("xs", (*tokens.shape, len(self._table)), self._table.dtype)
        self._table.take(tokens[first:], 0, xs[first:], "clip")
        return self._returned(xs)

    def backward(self, dxs: ArrayLike) -> None:
        """Nothing: there is no parameter and tokens have no gradient."""


def _sorted_runs(used: Array, size: int) -> tuple[Array, Array, Array]:
    """The order that sorts some tokens, the tokens in it, and where each run of the same one starts."""
    # NumPy sorts short integers in linear time.
    order = np.argsort(used.astype(np.uint16) if size <= 2**16 else used, kind="stable")
    ordered = used[order]
    return order, ordered, np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _run_sums(values: Array, order: Array, starts: Array) -> Array:
    """Sum of the rows of each run: values (R, D), their order (R,), where each run starts (K,) -> (K, D)."""
    if len(starts) * values.shape[-1] < LARGE_SUMS:
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))
    # All first rows, all second ones, ... with the longest runs in front, and what few long ones still have by itself.
    lengths = np.diff(starts, append=len(order))
    by_length = np.argsort(-lengths, kind="stable")
    firsts, lengths = starts[by_length], lengths[by_length]
    sums, place = values[order[firsts]], 1
    while (longer := int(np.count_nonzero(lengths > place))) > FEW_RUNS:
        sums[:longer] += values[order[firsts[:longer] + place]]
        place += 1
    for run in range(longer):
        sums[run] += np.add.reduce(values[order[firsts[run] + place : firsts[run] + lengths[run]]], axis=0)
    found = np.empty_like(sums)
    found[by_length] = sums
    return found


def _check_tokens(tokens: Array, size: int) -> None:
    if tokens.dtype == np.int64:  # a negative number is a huge one without its sign: one look does for both ends
        within = not tokens.size or np.maximum.reduce(tokens.view(np.uint64), axis=None) < size
    else:
        if tokens.dtype.kind not in "iub":
            raise TypeError(f"tokens must be whole numbers from 0 to {size - 1}, got an array of {tokens.dtype}")
        within = not tokens.size or (tokens.min() >= 0 and tokens.max() < size)
    if not within:
        raise IndexError(f"tokens must be from 0 to {size - 1}, got {tokens.min()} to {tokens.max()}")
