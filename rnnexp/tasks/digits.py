"""Images of digits, one pixel per step: the long sequences on which recurrent networks are most often compared."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from rnnexp.checks import UserError, boolean, integer, number
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask, with_answers
from rnnexp.tasks.files import digest, find, read_bytes, read_npz, refused

ALLOWED = "null, a folder with the four IDX files of MNIST, or a .npz file with x_train, y_train, x_test and y_test"
#: Draws the held-out part of scikit-learn's digits; fixed, so that all runs have the same one.
SPLIT_SEED = 0


class Part(NamedTuple):
    """Images, one row of pixels each, and their labels."""

    pixels: Array
    labels: Array


class Digits(EpisodeTask):
    """Read an image of a digit pixel by pixel, then say which digit it is.

    One trial, for an image of 8 x 8 pixels::

        step     0    1    2    3   ...  62   63
        pixel   .00  .00  .31  .81  ... .06  .00
        target                                3

    Pixels are grey values in [0, 1], row after row from the top left. Only the last step is scored, by cross-entropy
    over the ten digits. Training images are drawn uniformly with replacement. With `permuted`, all pixels come in
    one fixed random order, which turns the short dependencies between neighbours into long ones; the permutation is
    this project's own, not that of any paper.

    Without `path` the images are the 1,797 of 8 x 8 pixels that scikit-learn ships. We know of no published result of a
    recurrent network on them. With `path` they are MNIST's 60,000 for training, and its own 10,000 images are the test
    set. A fixed random sample of the others, stratified by digit, is held out for evaluation, and another one of
    scikit-learn's for the test.

    Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units"; Arjovsky, Shah
    & Bengio 2016, "Unitary evolution recurrent neural networks". Published test accuracies, in percent, on MNIST's
    784 steps in order, and permuted: LSTM 98.2 and 88, uRNN 95.1 and 91.4 (Arjovsky et al.); with about 70,000
    parameters, LSTM 87.2 and 85.7, GRU 96.2 and 87.3, plain RNN 21.5 and 25.3, TCN 99.0 and 97.2 (Bai, Kolter & Koltun
    2018); a plain ReLU network initialised with the identity 97 and 82 (Le et al.; these two from memory).

    Parameters
    ----------
    path : str, optional
        A folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte (also with .gz, or a dot before idx), or a .npz file with the arrays x_train, y_train,
        x_test and y_test; images may have any size. Whole numbers are divided by 255, unless none exceeds 1.
        Without a path, scikit-learn's digits.
    permuted : bool
        Present the pixels in one fixed random order.
    permutation_seed : int
        Draws that order, >= 0.
    eval_fraction : float
        Share of scikit-learn's digits, or of MNIST's training images, that is held out for evaluation, in (0, 1).
    test_fraction : float
        Share of scikit-learn's digits that is kept for the test, in (0, 1); MNIST has its own test images.
    eval_sequences : int, optional
        The most images to evaluate, and to test, chosen at random; null takes all.
    """

    input_kind = "values"
    input_size = 1
    target_kind = "classes"
    output_size = 10
    scored = "the last step"
    paper = "Le, Jaitly & Hinton 2015; permuted as in Arjovsky, Shah & Bengio 2016"
    success = "at least 90 % of the held-out images right (this project's own rule)"
    error_per = "step"
    output_names = tuple("0123456789")

    def __init__(
        self,
        *,
        path: str | None = None,
        permuted: bool = False,
        permutation_seed: int = 1234,
        eval_fraction: float = 0.2,
        test_fraction: float = 0.2,
        eval_sequences: int | None = 500,
    ) -> None:
        self.path, self.permuted = path, boolean("permuted", permuted)
        self.permutation_seed = integer("permutation_seed", permutation_seed, at_least=0)
        self.eval_fraction = fraction = number("eval_fraction", eval_fraction, above=0, below=1)
        self.test_fraction = unseen = number("test_fraction", test_fraction, above=0, below=1)
        most = None if eval_sequences is None else integer("eval_sequences", eval_sequences, at_least=1)
        self.scale = 16.0
        if path is None:
            self.training, self.held_out, self.tested = split_by_label(scikit_learn_digits(), fraction, unseen)
        else:
            training, self.tested, self.scale = read_mnist(path)
            self.training, self.held_out, _ = split_by_label(training, fraction, 0.0)
            if not len(self.held_out.labels):
                raise refused(path, ALLOWED, "there are no two training images of one digit, one of them to evaluate")
        self.digest = digest(
            training=self.training.pixels,
            shown=self.training.labels,
            held_out=self.held_out.pixels,
            to_tell=self.held_out.labels,
            tested=self.tested.pixels,
            to_test=self.tested.labels,
        )
        self.length = self.training.pixels.shape[1]
        self.permutation: Array | None = None
        if permuted:
            self.permutation = np.random.default_rng(self.permutation_seed).permutation(self.length)
            self.training, self.held_out, self.tested = (
                Part(part.pixels[:, self.permutation], part.labels)
                for part in (self.training, self.held_out, self.tested)
            )
        count = len(self.held_out.labels)
        super().__init__(eval_sequences=count if most is None else min(most, count))
        self._most = most

    @property
    def baseline(self) -> Baseline:
        """Guessing: ln 10 nats, one answer in ten right."""
        return Baseline(float(np.log(10.0)), 0.1, "a uniform guess", error=0.9)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, 1); targets (T, N), the digit at the last step."""
        return self._batch(self.training, rng.integers(len(self.training.labels), size=batch_size))

    def evaluation(self, *, rng: Generator) -> Batch:
        """The held-out images, or `eval_sequences` different ones of them."""
        return self._some(self.held_out, rng)

    def test(self, *, rng: Generator) -> Batch:
        """The images for the test, or `eval_sequences` different ones of them."""
        return self._some(self.tested, rng)

    def _some(self, part: Part, rng: Generator) -> Batch:
        """All images of a part, or the most that are wanted."""
        count = len(part.labels)
        most = count if self._most is None else min(self._most, count)
        return self._batch(part, np.arange(count) if most == count else rng.choice(count, most, replace=False))

    def solved(self, report: Any) -> bool | None:
        """Whether at least 90 % of the evaluation images are classified correctly."""
        evaluation = report.evaluation
        return None if evaluation is None else bool(evaluation.accuracy >= 0.9)

    def _batch(self, part: Part, index: Array) -> Batch:
        inputs = np.divide(part.pixels[index].T, self.scale, dtype=np.float64, order="C")[..., np.newaxis]
        return with_answers(inputs, -1, part.labels[index])


def scikit_learn_digits() -> Part:
    """The 8 x 8 images that scikit-learn ships; their pixels are whole numbers from 0 to 16."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise UserError(
            "the images of task Digits come with scikit-learn, which is not installed",
            "pip install 'rnnexp[digits]', or give a local MNIST: task.path=<folder>",
        ) from None
    digits = datasets.load_digits()
    return Part(digits.images.reshape(len(digits.images), -1).astype(np.uint8), digits.target.astype(np.int64))


def split_by_label(part: Part, fraction: float, unseen: float) -> tuple[Part, Part, Part]:
    """The images for training, evaluation and test: the same share of every digit, drawn by a separate generator."""
    rng = np.random.default_rng(SPLIT_SEED)
    use = np.zeros(len(part.labels), np.int64)
    for label in range(10):
        of_label = rng.permutation(np.flatnonzero(part.labels == label))
        most = len(of_label) - 1
        tested = min(max(1, round(unseen * len(of_label))), most - 1) if unseen else 0
        held = min(max(1, round(fraction * len(of_label))), most - tested)
        use[of_label[: max(0, held)]] = 1
        use[of_label[max(0, held) :][:tested]] = 2
    first, second, third = (Part(part.pixels[use == kind], part.labels[use == kind]) for kind in range(3))
    return first, second, third


def read_mnist(path: Any) -> tuple[Part, Part, float]:
    """The training images, the test images, and the pixel value of white."""
    place, refuse = find(path, ALLOWED), partial(refused, path, ALLOWED)
    if place.is_dir():
        training, test = (
            (read_idx(place, path, f"{part}-images", 3), read_idx(place, path, f"{part}-labels", 1))
            for part in ("train", "t10k")
        )
    elif place.suffix.lower() == ".npz":
        found = read_npz(place, path, ALLOWED, ("x_train", "y_train", "x_test", "y_test"))
        training, test = (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
    else:
        raise refuse(f"{place.name} is neither a folder nor a .npz file")
    for name, (images, labels) in (("training", training), ("test", test)):
        check_part(path, name, images, labels)
    first, second = training[0], test[0]
    if first.shape[1:] != second.shape[1:]:
        sizes = " and ".join(" x ".join(map(str, images.shape[1:])) for images in (first, second))
        raise refuse(f"training and test images differ in size: {sizes}")
    if (first.dtype.kind == "f") != (second.dtype.kind == "f"):
        raise refuse(f"training images are {first.dtype}, test images {second.dtype}: save them alike")
    whole = first.dtype.kind in "ui" or second.dtype.kind in "ui"
    scale = 255.0 if whole and max(first.max(), second.max()) > 1 else 1.0
    parts = [Part(compact(images), labels.astype(np.int64)) for images, labels in (training, test)]
    return parts[0], parts[1], scale


def compact(images: Array) -> Array:
    """One row per image; whole numbers in one byte each."""
    rows = images.reshape(len(images), -1)
    return rows if rows.dtype.kind == "f" else rows.astype(np.uint8)


def read_idx(folder: Path, path: str, part: str, axes: int) -> Array:
    """The bytes of an IDX file as an array of `axes` axes: magic number, sizes, then the values."""
    names = [f"{part}{mark}idx{axes}-ubyte{gz}" for gz in ("", ".gz") for mark in "-."]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise refused(path, ALLOWED, f"there is no {names[0]} in it, nor {names[0]}.gz")
    content = read_bytes(file, path, ALLOWED)
    head = 4 + 4 * axes
    if content[:4] != bytes([0, 0, 8, axes])[: len(content)]:
        magic = int.from_bytes(content[:4], "big")
        raise refused(
            path, ALLOWED, f"{file.name} begins with the magic number {magic}, not {2048 + axes}: another file"
        )
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, head, 4)]
    promised = head + int(np.prod(shape, dtype=object))
    if len(content) != promised:
        wrong = "cut off" if len(content) < promised else "longer than it says"
        hint = f"{file.name} is {wrong}: {len(content)} bytes in place of {promised}"
        raise refused(path, ALLOWED, hint)
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def check_part(path: str, name: str, images: Array, labels: Array) -> None:
    """Refuse images and labels that do not match, or are not grey values and digits."""
    refuse = partial(refused, path, ALLOWED)
    if images.ndim not in (2, 3) or labels.ndim != 1:
        raise refuse(
            f"{name} images must be an array (images, height, width), or (images, pixels), and labels one (images,): "
            f"they are {images.shape} and {labels.shape}"
        )
    if len(images) != len(labels):
        raise refuse(f"there are {len(images)} {name} images and {len(labels)} labels")
    if images.size == 0:
        raise refuse(f"there are no {name} images")
    if images.dtype.kind not in "buif" or labels.dtype.kind not in "ui":
        raise refuse(f"{name} images are {images.dtype} and labels {labels.dtype}: numbers, and whole ones, are needed")
    most = 1 if images.dtype.kind in "fb" else 255
    if not (images.min() >= 0 and images.max() <= most):
        kind = "numbers in [0, 1]: divide by 255" if images.dtype.kind == "f" else "whole numbers from 0 to 255"
        raise refuse(f"the pixels of the {name} images must be {kind}; they go from {images.min()} to {images.max()}")
    if labels.min() < 0 or labels.max() > 9:
        raise refuse(f"{name} labels must be digits from 0 to 9; they go from {labels.min()} to {labels.max()}")
