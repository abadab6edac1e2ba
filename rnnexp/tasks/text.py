"""Characters of a text: predict the next one."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask
from rnnexp.tasks.files import digest, find, read_text, refused

Tokens = NDArray[np.int64]
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class Text(StreamTask):
    """Predict the next character, at every step.

    A stream, for the text ``the cat``::

        step     0  1  2  3  4  5
        input    t  h  e     c  a
        target   h  e     c  a  t

    Every step is scored, by cross-entropy over the vocabulary. The text is split in three by position: for
    training, for evaluation, and for the test. Training streams start evenly spaced over the training part, are read
    without gaps, and wrap around at its end. The vocabulary is every character of the whole text, as in Karpathy's
    char-rnn.

    Parameters
    ----------
    output_size : int, optional
        Cap on the vocabulary, >= 2: the rarest characters of the training part become one unknown symbol.
    path : str, optional
        A UTF-8 text file, also gzipped (.gz). Without one, the reference text of the Python language that CPython ships
        (`pydoc_data.topics`).
    eval_fraction : float
        Share of the text, before the part for the test, that is kept for evaluation, in (0, 1).
    test_fraction : float
        Share of the text, from its end, that is kept for the test, in [0, 1); 0 for none.
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "every step"
    paper = "A. Karpathy 2015, char-rnn; published figures are on other texts"

    def __init__(
        self,
        output_size: int | None = None,
        *,
        path: str | None = None,
        eval_fraction: float = 0.1,
        test_fraction: float = 0.1,
    ) -> None:
        cap = None if output_size is None else integer("output_size", output_size, at_least=2)
        self.path, self.eval_fraction = path, number("eval_fraction", eval_fraction, above=0, below=1)
        self.test_fraction = number("test_fraction", test_fraction, at_least=0, below=1)
        fraction, unseen = self.eval_fraction, self.test_fraction
        text = python_reference() if path is None else read_lines(path)
        end = len(text) - (max(2, round(unseen * len(text))) if unseen else 0)
        cut = end - max(2, round(fraction * len(text)))
        least = 6 if unseen else 4
        if cut < 2 and len(text) >= least:
            key, value = max(("eval_fraction", fraction), ("test_fraction", unseen), key=lambda pair: pair[1])
            raise InvalidValue(key, value, "a number that leaves characters to train on", "try 0.1")
        if cut < 2 or len(set(text)) < 2:
            raise refused(path, f"a text of at least {least} characters, 2 of them different", "give a longer text")
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        self.characters = vocabulary(codes, codes[:cut], cap)
        self.input_size = self.output_size = len(self.characters)
        self.input_names = self.output_names = [printable(character) for character in self.characters]
        tokens = tokenize(codes, self.characters)
        self.digest = digest(tokens=tokens, characters=np.array([ord(character) for character in self.characters]))
        self.training_tokens, self.evaluation_tokens, self.test_tokens = tokens[:cut], tokens[cut:end], tokens[end:]

    @cached_property
    def baseline(self) -> Baseline:
        """A smoothed bigram model, counted on the training part and scored on the evaluation part."""
        loss, accuracy = bigram_scores(self.training_tokens, self.evaluation_tokens, self.output_size)
        return Baseline(loss, accuracy, "a bigram model of the training part", exact=False)

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """Streams evenly spaced over the training part."""
        length = len(self.training_tokens)
        if batch_size > length:
            raise InvalidValue("batch_size", batch_size, f"<= {length}, the characters to train on")
        return Place({"position": np.arange(batch_size) * length // batch_size})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and, as targets, the tokens that follow them."""
        position, length = place.arrays["position"], len(self.training_tokens)
        at = (position + np.arange(steps + 1)[:, np.newaxis]) % length
        tokens = self.training_tokens[at]
        position += steps
        position %= length
        return Batch(tokens[:-1], tokens[1:], np.ones((steps, len(position)), bool))

    def evaluation(self, *, rng: Generator) -> Batch:
        """The whole evaluation part, cut into contiguous streams; each character but the first is predicted once."""
        return self._streams(self.evaluation_tokens)

    def test(self, *, rng: Generator) -> Batch | None:
        """The same of the part for the test; None if there is none."""
        return self._streams(self.test_tokens) if len(self.test_tokens) else None

    def _streams(self, tokens: Tokens) -> Batch:
        predicted = len(tokens) - 1
        streams = max(1, min(64, predicted // 200))
        steps = -(-predicted // streams)
        at = np.arange(streams) * steps + np.arange(steps)[:, np.newaxis]
        inside = at < predicted
        at = np.minimum(at, predicted - 1)
        return Batch(tokens[at], tokens[at + 1], inside)

    def further_metrics(self, loss: float) -> dict[str, float]:
        """Bits per character: nats / ln 2."""
        return {"bits_per_character": loss / float(np.log(2.0))}

    @property
    def start(self) -> int:
        """A token to start generated text from: the line break, or else the first token of the text."""
        return self.characters.index("\n") if "\n" in self.characters else int(self.training_tokens[0])

    @property
    def unknown(self) -> int | None:
        """The token of the unknown symbol, if the vocabulary has one."""
        return self.characters.index(UNKNOWN) if UNKNOWN in self.characters else None

    def encode(self, text: str) -> Tokens:
        """Tokens of a text; characters outside the vocabulary become the unknown symbol, or are left out."""
        index = {character: token for token, character in enumerate(self.characters)}
        tokens = (index.get(character, self.unknown) for character in text)
        return np.array([token for token in tokens if token is not None], np.int64)

    def decode(self, tokens: Any) -> str:
        """The characters of some tokens."""
        return "".join(self.characters[int(token)] for token in tokens)


def python_reference() -> str:
    """The Python language reference as CPython ships it for ``help()``, its topics in alphabetical order."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def read_lines(path: str) -> str:
    """The text of a UTF-8 file, with one kind of line break; `InvalidValue` if there is none in it."""
    allowed = "a readable UTF-8 text file"
    text = read_text(find(path, allowed), path, allowed, "a UTF-8 text file")
    if not text:
        raise refused(path, "a text file with characters in it", "this file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def printable(character: str) -> str:
    """A character for a table: a space as an open box, unprintable ones as escapes."""
    if character == " ":
        return "\N{OPEN BOX}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def vocabulary(codes: Any, training: Any, cap: int | None) -> list[str]:
    """Characters in code point order; with a cap below their number, the most frequent and one unknown symbol."""
    present = np.unique(codes)
    if cap is None or len(present) <= cap:
        return [chr(code) for code in present]
    found, counts = np.unique(training[training != ord(UNKNOWN)], return_counts=True)
    kept = found[np.argsort(-counts, kind="stable")][: cap - 1]
    return [*(chr(code) for code in np.sort(kept)), UNKNOWN]


def tokenize(codes: Any, characters: list[str]) -> Tokens:
    """The index of each code point in `characters`; the last index, the unknown symbol, for all others."""
    table = np.array([ord(character) for character in characters])
    order = np.argsort(table)
    at = np.minimum(np.searchsorted(table[order], codes), len(table) - 1)
    return np.where(table[order][at] == codes, order[at], len(table) - 1)


def bigram_scores(training: Tokens, evaluation: Tokens, size: int) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy of a bigram model on `evaluation`, each token but the first predicted.

    P(b | a) = (c(ab) + u(a) P(b)) / (c(a) + u(a)), u(a) the number of different followers of a: interpolation of
    Witten & Bell 1991, method C. P(b) is the frequency of b with one added to every count.
    """
    unigram = (np.bincount(training, minlength=size) + 1.0) / (len(training) + size)
    pairs, counts = np.unique(training[:-1] * size + training[1:], return_counts=True)
    before, after = np.divmod(pairs, size)
    follower_total = np.bincount(before, weights=counts, minlength=size)
    followers = np.bincount(before, minlength=size)

    wanted = evaluation[:-1] * size + evaluation[1:]
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen = np.where(pairs[at] == wanted, counts[at], 0)
    context = evaluation[:-1]
    # For a context never seen in training this is the unigram model.
    weight = np.maximum(followers[context], 1)
    probability = (seen + weight * unigram[evaluation[1:]]) / (follower_total[context] + weight)

    # The likeliest follower of each context, by the same formula; ties go to the smaller token.
    best = np.full(size, int(np.argmax(unigram)))
    score = np.maximum(followers, 1) * unigram.max()
    pair_score = counts + followers[before] * unigram[after]
    for index in np.lexsort((-after, pair_score)):
        a, b = before[index], after[index]
        if (pair_score[index], -b) >= (score[a], -best[a]):
            best[a], score[a] = b, pair_score[index]
    accuracy = float(np.mean(best[context] == evaluation[1:]))
    return float(-np.log(probability).mean()), accuracy
