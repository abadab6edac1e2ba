"""Characters of a text: predict the next one."""

import io
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask
from rnnexp.tasks.bigram import bigram_scores
from rnnexp.tasks.encodings import text_encoding
from rnnexp.tasks.files import decoded, digest, find, read_bytes, refused

Tokens = NDArray[np.integer[Any]]
Codes = NDArray[np.uint32]
ALLOWED = "a readable UTF-8 text file"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
#: Characters below which a text is too short for its held-out parts to say much.
FEW = 1000


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
        A text file, also gzipped (.gz). Without one, the reference text of the Python language that CPython ships
        (`pydoc_data.topics`).
    eval_fraction : float
        Share of the text, before the part for the test, that is kept for evaluation, in (0, 1).
    test_fraction : float
        Share of the text, from its end, that is kept for the test, in [0, 1); 0 for none.
    encoding : str, optional
        Of the file. Null: UTF-8, or what a byte order mark at its beginning says.
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
        encoding: str | None = None,
    ) -> None:
        cap = None if output_size is None else integer("output_size", output_size, at_least=2)
        self.path, self.eval_fraction = path, number("eval_fraction", eval_fraction, above=0, below=1)
        self.test_fraction = number("test_fraction", test_fraction, at_least=0, below=1)
        fraction, unseen = self.eval_fraction, self.test_fraction
        content = python_reference().encode() if path is None else read_text(path)
        self.encoding, given = encoding, text_encoding(encoding)

        def pieces() -> Iterator[Codes]:
            return code_points(content, path, given)

        counts = counted(pieces())
        length = int(counts.sum())
        if not length:
            raise refused(path, "a text file with characters in it", "this file is empty")
        end = length - (max(2, round(unseen * length)) if unseen else 0)
        cut = end - max(2, round(fraction * length))
        least = 6 if unseen else 4
        if cut < 2 and length >= least:
            key, value = max(("eval_fraction", fraction), ("test_fraction", unseen), key=lambda pair: pair[1])
            raise InvalidValue(key, value, "a number that leaves characters to train on", "try 0.1")
        if cut < 2 or np.count_nonzero(counts) < 2:
            raise refused(path, f"a text of at least {least} characters, 2 of them different", "give a longer text")
        if cap is None or np.count_nonzero(counts) <= cap:
            self.characters = [chr(code) for code in np.flatnonzero(counts)]
        else:
            self.characters = most_frequent(counted(first(cut, pieces())), cap)
        self.input_size = self.output_size = len(self.characters)
        self.input_names = self.output_names = [printable(character) for character in self.characters]
        codes = np.array([ord(character) for character in self.characters])
        tokens = tokenized(pieces(), length, codes)
        self.digest = digest(integers=np.int64, tokens=tokens, characters=codes)
        self.kept = tokens.nbytes
        self.training_tokens, self.evaluation_tokens, self.test_tokens = tokens[:cut], tokens[cut:end], tokens[end:]
        if length < FEW:
            tested = f" and {length - end} to test" if unseen else ""
            self.caution = (
                f"the text has {length} characters, of which {end - cut} are to evaluate{tested}: "
                "losses on so few say little, and differ much between runs; give a text of at least 1,000 characters"
            )

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
        tokens = self.training_tokens[at].astype(np.int64)
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
        filled = np.pad(tokens, (0, streams * steps - predicted), "edge")  # kept in the type of the text
        inside = np.ones(streams * steps, bool)
        inside[predicted:] = False
        return Batch(*(array.reshape(streams, steps).T for array in (filled[:-1], filled[1:], inside)))

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


def read_text(path: str) -> bytes:
    """The content of a text file; `InvalidValue` if there is none."""
    return read_bytes(find(path, ALLOWED), path, ALLOWED)


def code_points(content: bytes, path: str | None, encoding: str | None = None) -> Iterator[Codes]:
    """The characters of a text as numbers, piece by piece, with one kind of line break."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in decoded(io.BytesIO(content), str(path), "a text file", encoding):
        yield np.frombuffer(newlines.decode(piece).encode("utf-32-le"), np.uint32)
    yield np.frombuffer(newlines.decode("", True).encode("utf-32-le"), np.uint32)  # a line break at the end


def printable(character: str) -> str:
    """A character for a table: a space as an open box, unprintable ones as escapes."""
    if character == " ":
        return "\N{OPEN BOX}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def first(length: int, pieces: Iterable[Codes]) -> Iterator[Codes]:
    """The first numbers of some pieces, `length` in all."""
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return


def counted(pieces: Iterable[Codes]) -> NDArray[np.int64]:
    """How often each number from 0 on occurs."""
    total = np.zeros(0, np.int64)
    for piece in pieces:
        counts = np.bincount(piece)
        if len(counts) > len(total):
            total, counts = counts, total
        total[: len(counts)] += counts
    return total


def most_frequent(counts: NDArray[np.int64], cap: int) -> list[str]:
    """The `cap` - 1 most frequent characters, by their counts, in code point order, and the unknown symbol."""
    counts[ord(UNKNOWN) : ord(UNKNOWN) + 1] = 0
    found = np.flatnonzero(counts)
    kept = found[np.argsort(-counts[found], kind="stable")][: cap - 1]
    return [*(chr(code) for code in np.sort(kept)), UNKNOWN]


def tokenized(pieces: Iterable[Codes], length: int, codes: NDArray[np.int64]) -> Tokens:
    """The index of each character in `codes`; the last index, the unknown symbol, for all others.

    The tokens are of the smallest type that holds them.
    """
    unknown = len(codes) - 1
    table: Tokens = np.full(sys.maxunicode + 1, unknown, np.min_scalar_type(unknown))
    table[codes] = np.arange(len(codes))
    tokens: Tokens = np.empty(length, table.dtype)
    at = 0
    for piece in pieces:
        table.take(piece, out=tokens[at : at + len(piece)], mode="clip")  # "raise" would buffer
        at += len(piece)
    return tokens
