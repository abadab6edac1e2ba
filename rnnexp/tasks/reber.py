"""Reber's grammar, plain and embedded: predict the next symbol of a string."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask

SYMBOLS = ("B", "T", "S", "X", "P", "V", "E")
#: Coins that are thrown at once.
STRIDE = 8

#: Where the two branches of each state lead: the symbol on the way, and the next state. State 6 is the end.
DIAGRAM = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
    (("E", 6), ("E", 6)),
)


class Reber(EpisodeTask):
    """Predict the next symbol of a string that a small grammar makes.

    One trial; the row ``right`` has the symbols that the grammar allows next::

        step     0  1  2  3  4  5  6
        input    B  P  T  V  P  S  E    (not read: nothing follows)
        target   P  T  V  P  S  E
        right    TP TV TV PV SX E

    A string begins with B and ends with E. In between, one of two branches is taken with a fair coin at each state of
    Reber's diagram: from 0 by T to 1 or P to 2; from 1 by S to 1 or X to 3; from 2 by T to 2 or V to 4; from 3 by X
    to 2 or S to 5; from 4 by P to 3 or V to 5; from 5 by E to the end. The embedded grammar puts such a string, B and
    E included, between two equal symbols, T or P, which have to be connected over the whole of it::

        step     0  1  2  3  4  5  6  7  8
        input    B  T  B  P  V  V  E  T  E
        target   T  B  P  V  V  E  T  E
        right    TP B  TP TV PV E  T  E

    Every step but the last symbol's is scored, by cross-entropy over the symbol that does come next. Strings have 5
    symbols or more without a bound, 8 on average (9 or more and 12 for the embedded grammar). A string is wrong by the
    published rule where the largest output of any step is no symbol that the grammar allows next. In plain strings B
    never comes next and nothing follows E, so that there are 6 tokens and 6 classes; in embedded ones all 7.

    The embedded grammar is experiment 1 of Hochreiter & Schmidhuber 1997, "Long short-term memory", section 5.1 (7
    inputs and outputs, 256 strings to train on and 256 to test; these numbers from memory); here every training
    string is fresh. The plain one is that of Cleeremans, Servan-Schreiber & McClelland 1989, "Finite state automata
    and simple recurrent networks" (from memory).

    Parameters
    ----------
    embedded : bool
        The embedded grammar, instead of the plain one.
    eval_sequences : int
        Strings in the evaluation set.
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "every step: the symbol that comes next"
    success = "in no string is the most active output of any step an illegal next symbol"
    error_per = "sequence"

    def __init__(self, *, embedded: bool = False, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=integer("eval_sequences", eval_sequences, at_least=1))
        if not isinstance(embedded, bool):
            raise InvalidValue("embedded", embedded, "true or false")
        self.embedded = embedded
        self.input_names = list(SYMBOLS if embedded else SYMBOLS[:-1])
        self.output_names = list(SYMBOLS if embedded else SYMBOLS[1:])
        self.input_size, self.output_size = len(self.input_names), len(self.output_names)
        self.paper = (
            "Hochreiter & Schmidhuber 1997, section 5.1"
            if embedded
            else "Cleeremans, Servan-Schreiber & McClelland 1989"
        )
        self._chain = _embedded() if embedded else _plain()
        self._walks = self._chain.walks(STRIDE)
        # Classes are numbered as in `output_names`; in plain strings B is none.
        self._class_of = self._chain.symbol if embedded else np.maximum(self._chain.symbol - 1, 0)
        self._legal = self._chain.legal if embedded else self._chain.legal[:, 1:]
        visits = self._chain.visits()
        self._branching = float(visits[self._chain.legal.sum(axis=1) == 2].sum())
        self._predictions = float(visits.sum())
        self.floor = self._branching * float(np.log(2.0)) / self._predictions

    @property
    def baseline(self) -> Baseline:
        """What does without the memory that the grammar asks for.

        Embedded: all but the first T or P is known, so that the symbol before the last E costs another ln 2 per string.
        Plain: the probabilities of the next symbol given the present one alone, from the expected number of times
        that each pair occurs in a string.
        """
        if not self.embedded:
            return self._bigram()
        branching = self._branching + 1
        loss = branching * float(np.log(2.0)) / self._predictions
        predictor = "the grammar without the first T or P"
        return Baseline(loss, 1.0 - branching / 2 / self._predictions, predictor, error=0.5)

    def _bigram(self) -> Baseline:
        """A predictor that knows the present symbol only; equally likely symbols are chosen among by lot."""
        chain, visits = self._chain, self._chain.visits()
        pairs = np.zeros((len(SYMBOLS), len(SYMBOLS)))
        for coin in range(2):
            np.add.at(pairs, (chain.symbol, chain.symbol[chain.following[:, coin]]), visits / 2)
        total, rows = pairs.sum(), pairs.sum(axis=1, keepdims=True)
        shares = np.divide(pairs, rows, out=np.zeros_like(pairs), where=rows > 0)
        loss = -(pairs * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum() / total
        best = np.isclose(pairs, pairs.max(axis=1, keepdims=True)) & (pairs > 0)
        # At each node, the share of the likeliest next symbols that are legal there.
        likeliest = best[chain.symbol]
        right = (likeliest & chain.legal).sum(axis=1) / np.maximum(likeliest.sum(axis=1), 1)
        # P(all right from a node on) is right * its mean over the two branches; at the end it is 1.
        ending = np.zeros(len(visits))
        ending[-1] = 1.0
        all_right = np.linalg.solve(np.eye(len(visits)) - right[:, np.newaxis] * chain.transitions(), ending)[0]
        accuracy = pairs.max(axis=1).sum() / total
        return Baseline(float(loss), float(accuracy), "the present symbol alone", error=float(1.0 - all_right))

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (T, N), the next symbols as classes, and the legal next symbols; T is the longest string less one."""
        end = len(self._chain.symbol) - 1
        walked = [np.zeros((1, batch_size), np.int64)]
        while (walked[-1][-1] != end).any():
            walked.append(self._walks[walked[-1][-1], rng.integers(2**STRIDE, size=batch_size)].T)
        path = np.concatenate(walked)
        path = path[: int((path != end).any(axis=1).sum()) + 1]
        mask = path[:-1] != end
        inputs = np.where(mask, self._chain.symbol[path[:-1]], 0)
        targets = np.where(mask, self._class_of[path[1:]], 0)
        return Batch(inputs, targets, mask, self._legal[path[:-1]])

    def solved(self, report: Any) -> bool | None:
        """No string of the evaluation set wrong (in the paper, of the sets to train and to test on)."""
        return None if report.evaluation is None else bool(report.evaluation.error == 0)


@dataclass(frozen=True)
class _Chain:
    """A grammar as a walk over nodes, one symbol each: from the first node, B, to the last, E, which stays put.

    Attributes
    ----------
    symbol : integer array (Q,)
    following : integer array (Q, 2)
        The node after each, by the fall of a coin.
    """

    symbol: Array
    following: Array

    @property
    def legal(self) -> Array:
        """Symbols that may follow each node, (Q, 7); none follows the end."""
        legal = np.zeros((len(self.symbol), len(SYMBOLS)), bool)
        legal[np.arange(len(legal))[:, np.newaxis], self.symbol[self.following]] = True
        legal[-1] = False
        return legal

    def transitions(self) -> Array:
        """Probabilities (Q, Q) of going from one node to another; the end leads nowhere."""
        probabilities = np.zeros((len(self.symbol), len(self.symbol)))
        np.add.at(probabilities, (np.arange(len(self.symbol))[:, np.newaxis], self.following), 0.5)
        probabilities[-1] = 0.0
        return probabilities

    def walks(self, steps: int) -> Array:
        """The next `steps` nodes after each node, (Q, 2^steps, steps), by the falls of so many coins, one bit each."""
        coins = np.arange(2**steps)
        nodes = np.broadcast_to(np.arange(len(self.symbol))[:, np.newaxis], (len(self.symbol), len(coins)))
        walked = []
        for step in range(steps):
            nodes = self.following[nodes, coins >> step & 1]
            walked.append(nodes)
        return np.stack(walked, axis=-1)

    def visits(self) -> Array:
        """How often a string comes by each node on average; 0 for the end, where nothing is predicted."""
        start = np.zeros(len(self.symbol))
        start[0] = 1.0
        visits: Array = np.linalg.solve(np.eye(len(start)) - self.transitions().T, start)
        visits[-1] = 0.0
        return visits


def _plain() -> _Chain:
    """B, then a node for each branch of the diagram (two for a state), then E."""

    def nodes(state: int) -> list[int]:
        return [min(1 + 2 * state + branch, 11) for branch in range(2)]

    branches = [branch for state in DIAGRAM[:5] for branch in state]
    symbols = ["B", *(symbol for symbol, _ in branches), "E"]
    following = [nodes(0), *(nodes(state) for _, state in branches), [11, 11]]
    return _Chain(np.array([SYMBOLS.index(symbol) for symbol in symbols]), np.array(following))


def _embedded() -> _Chain:
    """B, T or P, a plain string for each, the same T or P again, E."""
    inner = _plain()
    size = len(inner.symbol)
    starts, last = (3, 3 + size), 5 + 2 * size
    symbols, following = [0, SYMBOLS.index("T"), SYMBOLS.index("P")], [[1, 2], [starts[0]] * 2, [starts[1]] * 2]
    for copy, start in enumerate(starts):
        symbols += inner.symbol.tolist()
        following += [*(inner.following[:-1] + start).tolist(), [last - 2 + copy] * 2]
    symbols += [SYMBOLS.index("T"), SYMBOLS.index("P"), SYMBOLS.index("E")]
    following += [[last] * 2] * 3
    return _Chain(np.array(symbols), np.array(following))
