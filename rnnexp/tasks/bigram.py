"""The baseline of a text: how well the next character can be told from the one before."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]

#: Tokens that are looked at at once.
PIECE = 2**19
#: Pairs whose counts are kept at a time.
PAIRS = 2**21


def bigram_scores(training: Tokens, evaluation: Tokens, size: int) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy of a bigram model on `evaluation`, each token but the first predicted.

    P(b | a) = (c(ab) + u(a) P(b)) / (c(a) + u(a)), u(a) the number of different followers of a: interpolation of
    Witten & Bell 1991, method C. P(b) is the frequency of b with one added to every count. The pairs are counted for
    some tokens a at a time, so that the memory does not grow with their number.
    """
    times = sum((np.bincount(training[part], minlength=size) for part in pieces(len(training))), np.zeros(size, int))
    unigram = (times + 1.0) / (len(training) + size)
    chances, right = np.empty(len(evaluation) - 1), np.empty(len(evaluation) - 1, bool)
    for start, stop in contexts(times):
        pairs, counts = pair_counts(training, start, stop, size)
        before, after = np.divmod(pairs, size)
        total = np.bincount(before, weights=counts, minlength=stop - start)
        # For a context never seen in training this is the unigram model.
        weight = np.maximum(np.bincount(before, minlength=stop - start), 1)
        best = likeliest(before, after, counts, weight, unigram)
        for part in pieces(len(chances)):
            inside, context = within(evaluation[part], start, stop)
            follower = evaluation[part.start + 1 : part.stop + 1][inside].astype(np.int64)
            seen = looked_up(context * size + follower, pairs, counts)
            chances[part][inside] = (seen + weight[context] * unigram[follower]) / (total[context] + weight[context])
            right[part][inside] = best[context] == follower
    return float(-np.log(chances, chances).mean()), float(np.mean(right))


def pieces(length: int) -> Iterator[slice]:
    """Consecutive parts of so many tokens."""
    return (slice(start, min(start + PIECE, length)) for start in range(0, length, PIECE))


def contexts(times: Counts) -> Iterator[tuple[int, int]]:
    """Ranges of tokens a whose pairs are counted at once: up to `PAIRS` are possible, or so many occur."""
    size, start, before = len(times), 0, np.concatenate([[0], np.cumsum(times)])
    while start < size:
        as_many = int(np.searchsorted(before, before[start] + PAIRS, "right")) - 1
        stop = min(size, max(start + 1, start + PAIRS // size, as_many))
        yield start, stop
        start = stop


def within(tokens: Tokens, start: int, stop: int) -> tuple[Any, Counts]:
    """Which tokens are from `start` up to `stop`, and these, counted from `start`."""
    inside = (tokens >= start) & (tokens < stop)
    return inside, tokens[inside].astype(np.int64) - start


def pair_counts(tokens: Tokens, start: int, stop: int, size: int) -> tuple[Counts, Counts]:
    """Pairs (a - start) * size + b of consecutive tokens with a from `start` up to `stop`, sorted; their numbers."""
    possible, found = (stop - start) * size, []
    table = np.zeros(possible if possible <= PAIRS else 0, np.int64)
    for part in pieces(len(tokens) - 1):
        inside, context = within(tokens[part], start, stop)
        pairs = context * size + tokens[part.start + 1 : part.stop + 1][inside]
        if len(table):
            counts = np.bincount(pairs)
            table[: len(counts)] += counts
        else:
            found.append(pairs)
    if len(table):
        pairs = np.flatnonzero(table)
        return pairs, table[pairs]
    return np.unique(np.concatenate(found), return_counts=True)


def looked_up(wanted: Counts, pairs: Counts, counts: Counts) -> Counts:
    """The counts of some pairs, 0 for those that never came."""
    order = np.argsort(wanted)  # a search for random ones would miss the cache each time
    ordered, found = wanted[order], np.zeros_like(wanted)
    if len(pairs):
        at = np.minimum(np.searchsorted(pairs, ordered), len(pairs) - 1)
        found[order] = np.where(pairs[at] == ordered, counts[at], 0)
    return found


def likeliest(before: Counts, after: Counts, counts: Counts, weight: Counts, unigram: NDArray[np.float64]) -> Counts:
    """The likeliest follower of each context, (A,); ties go to the smaller token."""
    commonest = int(np.argmax(unigram))
    best, score = np.full(len(weight), commonest), weight * unigram[commonest]
    starts = np.flatnonzero(np.diff(before, prepend=-1))
    if len(starts):
        pair_score = counts + weight[before] * unigram[after]
        highest = np.maximum.reduceat(pair_score, starts)
        runs = np.diff(starts, append=len(before))
        at = np.flatnonzero(pair_score == np.repeat(highest, runs))
        at = at[np.diff(before[at], prepend=-1) > 0]  # the smallest token of each context
        seen = before[at]
        better = (highest > score[seen]) | ((highest == score[seen]) & (after[at] < best[seen]))
        best[seen[better]] = after[at[better]]
    return best
