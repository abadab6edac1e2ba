import builtins
import gzip
import io
import pickle
import struct
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.tasks.digits import Digits


@pytest.fixture(scope="module")
def shipped():
    """scikit-learn's images as tuples of 64 pixels in [0, 1], and what each shows."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {tuple(image.ravel() / 16): label for image, label in zip(digits.images, digits.target, strict=True)}


def pictures(count, seed, height=4, width=5):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(count, height, width), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10


TRAINING, TEST = pictures(23, 1), pictures(12, 2)


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    """A folder with the four IDX files; `mark` comes before the word idx."""

    def write(mark="-", packed=False):
        for part, (images, labels) in (("train", TRAINING), ("t10k", TEST)):
            for name, array in ((f"{part}-images{mark}idx3-ubyte", images), (f"{part}-labels{mark}idx1-ubyte", labels)):
                content = idx(array)
                (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
        return tmp_path

    return write


@pytest.fixture
def npz_file(tmp_path):
    """An npz file with the four arrays, some of them replaced or (None) left out."""

    def write(**replaced):
        arrays = {"x_train": TRAINING[0], "y_train": TRAINING[1], "x_test": TEST[0], "y_test": TEST[1], **replaced}
        path = tmp_path / "mnist.npz"
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        return path

    return write


def holds(task, scale=255):
    """The task gives the test images, in order, as its test set, and trains and evaluates on the training images."""
    batch = task.test(rng=np.random.default_rng(0))
    assert batch.inputs.shape == (20, 12, 1)
    assert np.array_equal(batch.inputs[..., 0].T, TEST[0].reshape(12, 20) / scale)
    assert np.array_equal(batch.targets[-1], TEST[1])
    known = {tuple(image.ravel() / scale): label for image, label in zip(*TRAINING, strict=True)}
    drawn = task.sample(300, rng=np.random.default_rng(1))
    seen = [tuple(column) for column in drawn.inputs[..., 0].T]
    assert [known[pixels] for pixels in seen] == drawn.targets[-1].tolist()
    held = task.evaluation(rng=np.random.default_rng(0))
    looked = [tuple(column) for column in held.inputs[..., 0].T]
    assert [known[pixels] for pixels in looked] == held.targets[-1].tolist()
    assert np.bincount(held.targets[-1], minlength=10).tolist() == [1] * 10
    assert set(seen) | set(looked) == set(known) and not set(seen) & set(looked)


def test_a_trial_is_an_image_pixel_by_pixel_and_its_digit_at_the_end(shipped):
    task = Digits()
    batch = task.sample(200, rng=np.random.default_rng(3))
    assert (batch.inputs.shape, batch.inputs.dtype) == ((64, 200, 1), np.float64)
    assert (batch.targets.shape, batch.targets.dtype) == ((64, 200), np.int64)
    assert batch.mask.dtype == np.bool_
    assert not batch.mask[:-1].any()
    assert batch.mask[-1].all()
    assert set(batch.targets[-1]) == set(range(10))
    assert (batch.inputs.min(), batch.inputs.max()) == (0.0, 1.0)
    for sequence in range(200):
        assert shipped[tuple(batch.inputs[:, sequence, 0])] == batch.targets[-1, sequence]


def test_an_oracle_that_sees_only_the_inputs_makes_no_error_and_a_guess_nine_in_ten(shipped):
    count = 20_000
    task = Digits()
    batch = task.sample(count, rng=np.random.default_rng(4))
    answers = np.array([shipped[tuple(pixels)] for pixels in batch.inputs[..., 0].T])
    last = batch.steps(63, 64)
    assert not task.wrong(np.eye(10)[answers][np.newaxis], last).any()
    guess = np.random.default_rng(5).integers(10, size=count)
    share = task.wrong(np.eye(10)[guess][np.newaxis], last).mean()
    assert abs(share - task.baseline.error) < 5 * np.sqrt(0.09 / count)
    assert (task.baseline.error, task.baseline.accuracy, task.baseline.exact) == (0.9, 0.1, True)
    assert task.baseline.loss == pytest.approx(-np.log(np.full(10, 0.1)).mean(), rel=1e-12)


def test_a_fifth_of_every_digit_is_evaluated_another_is_tested_and_neither_is_drawn(shipped):
    task = Digits(eval_sequences=None)
    batch = task.evaluation(rng=np.random.default_rng(0))
    held = {tuple(pixels) for pixels in batch.inputs[..., 0].T}
    assert len(held) == batch.mask.shape[1]
    of_each = np.bincount(list(shipped.values()))
    assert np.bincount(batch.targets[-1]).tolist() == [round(count / 5) for count in of_each]
    drawn = task.sample(20_000, rng=np.random.default_rng(1)).inputs[..., 0].T
    trained = {tuple(pixels) for pixels in drawn}
    unseen = task.test(rng=np.random.default_rng(0))
    assert np.bincount(unseen.targets[-1]).tolist() == [round(count / 5) for count in of_each]
    tested = {tuple(pixels) for pixels in unseen.inputs[..., 0].T}
    assert not held & trained and not held & tested and not trained & tested
    # Each of the 1078 is missing with probability (1 - 1 / 1078)^20000 < 1e-7.
    assert held | trained | tested == set(shipped)


def test_the_split_depends_on_the_share_alone():
    def held(seed, **settings):
        return Digits(eval_sequences=None, **settings).evaluation(rng=np.random.default_rng(seed))

    one, other = held(0), held(1, permutation_seed=7)
    assert np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.targets, other.targets)
    assert 890 < held(0, eval_fraction=0.5).mask.shape[1] < 910
    assert held(0, eval_fraction=1e-6).mask.shape[1] == 10
    assert sorted(Digits(eval_fraction=0.999999).training.labels) == list(range(10))


def test_some_of_the_held_out_images_are_chosen_by_the_generator():
    task = Digits(eval_sequences=50)
    everything = {
        tuple(pixels)
        for pixels in Digits(eval_sequences=None).evaluation(rng=np.random.default_rng(0)).inputs[..., 0].T
    }
    sets = [
        {tuple(pixels) for pixels in task.evaluation(rng=np.random.default_rng(seed)).inputs[..., 0].T}
        for seed in (0, 0, 1)
    ]
    assert all(len(chosen) == 50 and chosen < everything for chosen in sets)
    assert sets[0] == sets[1] != sets[2]
    assert Digits(eval_sequences=5000).eval_sequences == len(everything)


def test_training_images_are_drawn_uniformly_and_repeatedly(npz_file):
    task = Digits(path=str(npz_file()))
    count = 46_000
    batch = task.sample(count, rng=np.random.default_rng(2))
    _, drawn = np.unique(batch.inputs[..., 0], axis=1, return_counts=True)
    assert len(drawn) == 13  # of 23, one of each digit is held out
    assert np.abs(drawn / count - 1 / 13).max() < 5 * np.sqrt(1 / 13 * 12 / 13 / count)


def test_one_permutation_for_all_images():
    plain, permuted = Digits(), Digits(permuted=True)
    order = np.random.default_rng(1234).permutation(64)
    assert sorted(order) == list(range(64))
    for seed in (0, 1):
        rngs = [np.random.default_rng(seed) for _ in range(4)]
        straight, mixed = plain.sample(40, rng=rngs[0]), permuted.sample(40, rng=rngs[1])
        assert not np.array_equal(straight.inputs, mixed.inputs)
        assert np.array_equal(straight.inputs[order], mixed.inputs)
        assert np.array_equal(straight.targets, mixed.targets)
        straight, mixed = plain.evaluation(rng=rngs[2]), permuted.evaluation(rng=rngs[3])
        assert np.array_equal(straight.inputs[order], mixed.inputs)
    other = Digits(permuted=True, permutation_seed=1).sample(40, rng=np.random.default_rng(0))
    assert not np.array_equal(other.inputs, permuted.sample(40, rng=np.random.default_rng(0)).inputs)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_a_folder_of_idx_files(idx_folder, mark, packed):
    task = Digits(path=str(idx_folder(mark, packed)))
    holds(task)
    assert task.length == 20


def test_an_npz_file_of_bytes_floats_or_flat_images(npz_file):
    holds(Digits(path=str(npz_file())))
    holds(Digits(path=str(npz_file(x_train=TRAINING[0].astype(int), y_train=TRAINING[1].astype(int)))))
    holds(Digits(path=str(npz_file(x_train=TRAINING[0] / 255, x_test=TEST[0] / 255))))
    holds(Digits(path=str(npz_file(x_train=TRAINING[0].reshape(23, 20), x_test=TEST[0].reshape(12, 20)))))


@pytest.mark.parametrize("kind", [bool, np.uint8, float])
def test_black_and_white_images_stay_zero_and_one(npz_file, kind):
    train, test = (TRAINING[0] > 127).astype(kind), (TEST[0] > 127).astype(kind)
    batch = Digits(path=str(npz_file(x_train=train, x_test=test))).test(rng=np.random.default_rng(0))
    assert np.array_equal(batch.inputs[..., 0].T, test.reshape(12, 20).astype(float))


def test_solved_from_nine_in_ten_on():
    task = Digits()
    assert task.solved(SimpleNamespace(evaluation=None)) is None
    for accuracy, expected in ((0.9, True), (0.95, True), (0.8999, False), (0.1, False)):
        assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(accuracy=accuracy))) is expected


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.datasets", raising=False)
    with pytest.raises(UserError) as caught:
        Digits()
    assert "pip install 'rnnexp[digits]'" in caught.value.hint


def test_mnist_needs_no_scikit_learn(monkeypatch, npz_file):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    holds(Digits(path=str(npz_file())))


def refused(path, **settings):
    with pytest.raises(InvalidValue) as caught:
        Digits(path=path, **settings)
    assert caught.value.key == "path"
    return caught.value.hint


@pytest.mark.parametrize("path", ["", " ", 5, True, ["a"], "a\0b", "~nosuchuserhere/x", "nowhere/mnist.npz"], ids=repr)
def test_a_path_that_names_nothing_is_refused(path):
    with pytest.raises(InvalidValue, match=r"^path must be null, a folder"):
        Digits(path=path)


def test_a_file_that_is_neither_is_refused(tmp_path):
    path = tmp_path / "mnist.pkl"
    path.write_bytes(b"x")
    assert "mnist.pkl is neither a folder nor a .npz file" in refused(str(path))


NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_without_one_of_the_files_is_refused(idx_folder, name):
    folder = idx_folder()
    (folder / name).unlink()
    assert name in refused(str(folder))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[:-1], "cut off: "),
        (lambda content: content[:7], "cut off: 7 bytes"),
        (lambda content: content[:3], "cut off: 3 bytes"),
        (lambda content: content + b"\0", "longer than it says"),
        (lambda content: b"\0\0\x0d" + content[3:], "magic number 3"),
        (lambda content: b"\x1f\x8b" + content[2:], "magic number"),
    ],
    ids=["empty", "last byte gone", "within the head", "within the magic number", "too long", "floats", "gzip"],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_idx_file_is_refused_by_name(idx_folder, name, spoil, said):
    file = idx_folder() / name
    file.write_bytes(spoil(file.read_bytes()))
    hint = refused(str(file.parent))
    assert name in hint
    assert said in hint


def test_a_labels_file_in_place_of_images_is_refused(idx_folder):
    folder = idx_folder()
    (folder / NAMES[0]).write_bytes((folder / NAMES[1]).read_bytes())
    assert "begins with the magic number 2049, not 2051" in refused(str(folder))


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-9], lambda content: b"no gzip", lambda content: content[:40]]
)
def test_a_damaged_gzip_file_is_refused(idx_folder, spoil):
    file = idx_folder(packed=True) / (NAMES[2] + ".gz")
    file.write_bytes(spoil(file.read_bytes()))
    assert f"{NAMES[2]}.gz is not a gzip file, or is truncated" in refused(str(file.parent))


def test_a_header_that_promises_more_than_any_memory_holds_is_refused(idx_folder):
    file = idx_folder() / NAMES[0]
    file.write_bytes(struct.pack(">4I", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"\0" * 9)
    assert "cut off" in refused(str(file.parent))


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_an_npz_file_without_one_of_the_arrays_is_refused(npz_file, name):
    assert f"has no array {name}" in refused(str(npz_file(**{name: None})))


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"y_train": TRAINING[1][:-1]}, "there are 23 training images and 22 labels"),
        ({"x_test": TEST[0][:-2]}, "there are 10 test images and 12 labels"),
        ({"y_test": TEST[1] + np.uint8(1)}, "test labels must be digits from 0 to 9; they go from 1 to 10"),
        ({"y_train": TRAINING[1].astype(int) - 1}, "training labels must be digits from 0 to 9; they go from -1"),
        ({"y_train": TRAINING[1] / 1.0}, "whole"),
        ({"x_train": TRAINING[0].astype(str)}, "numbers"),
        ({"x_train": TRAINING[0] / 1.0}, "divide by 255"),
        ({"x_train": TRAINING[0] * np.nan}, "divide by 255"),
        ({"x_train": TRAINING[0].astype(int) - 1}, "whole numbers from 0 to 255"),
        ({"x_train": TRAINING[0].astype(int) + 1}, "whole numbers from 0 to 255"),
        ({"x_train": TRAINING[0][:, :-1]}, "differ in size: 3 x 5 and 4 x 5"),
        ({"x_test": TEST[0] / 255}, "save them alike"),
        ({"x_train": TRAINING[0][..., np.newaxis]}, "images, height, width"),
        ({"y_test": TEST[1][:, np.newaxis]}, "labels one"),
        ({"x_test": TEST[0][:0], "y_test": TEST[1][:0]}, "there are no test images"),
    ],
)
def test_arrays_that_are_no_images_and_digits_are_refused(npz_file, replaced, said):
    assert said in refused(str(npz_file(**replaced)))


def test_labels_outside_the_digits_are_refused_in_idx_files_too(idx_folder):
    folder = idx_folder()
    (folder / NAMES[1]).write_bytes(idx(TRAINING[1] + 3))
    assert "training labels must be digits from 0 to 9; they go from 3 to 12" in refused(str(folder))


class Trap:
    def __reduce__(self):
        return builtins.eval, (f"__import__('pathlib').Path({str(Trap.file)!r}).touch()",)


def test_pickled_objects_are_refused_and_never_unpacked(npz_file, tmp_path):
    Trap.file = tmp_path / "sprung"
    trap = np.empty(23, object)
    trap[:] = [Trap()] * 23
    path = npz_file(x_train=trap)
    assert "Python objects" in refused(str(path))
    path.write_bytes(pickle.dumps(Trap()))
    refused(str(path))
    assert not Trap.file.exists()
    pickle.loads(pickle.dumps(Trap()))
    assert Trap.file.exists(), "the trap itself would not have sprung"


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    assert "it is not an .npz file, or is truncated" in refused(str(path))


def test_a_cut_off_npz_a_single_array_and_a_foreign_member_are_refused(npz_file, tmp_path):
    path = npz_file()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(str(path))
    single = io.BytesIO()
    np.save(single, TRAINING[0])
    path.write_bytes(single.getvalue())
    assert "one array without a name" in refused(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train", b"text")
    assert "x_train in mnist.npz is not an array" in refused(str(path))


@pytest.mark.parametrize(
    ("key", "values", "allowed"),
    [
        ("permuted", [0, 1, "yes", None], "true or false"),
        ("permutation_seed", [-1, 1.5, None, True], "a whole number >= 0"),
        ("eval_fraction", [0, 1, -0.1, None, "half", float("nan")], "a number > 0 and < 1"),
        ("test_fraction", [0, 1, -0.1, None, "half", float("nan")], "a number > 0 and < 1"),
        ("eval_sequences", [0, -1, 2.0, "all", True], "a whole number >= 1"),
    ],
)
def test_settings_that_make_no_task_are_refused_by_name(key, values, allowed):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be {allowed}"):
            Digits(**{key: value})


def test_a_batch_of_mnist_sequences_is_drawn_in_little_time(tmp_path):
    path = tmp_path / "mnist.npz"
    images, labels = np.zeros((5000, 28, 28), np.uint8), np.zeros(5000, np.uint8)
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    task, rng = Digits(path=str(path)), np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(20):
        assert task.sample(100, rng=rng).inputs.shape == (784, 100, 1)
    assert time.perf_counter() - start < 2


def test_a_path_may_begin_with_the_home_folder(npz_file, monkeypatch):
    path = npz_file()
    monkeypatch.setenv("HOME", str(path.parent))
    holds(Digits(path=str(Path("~") / path.name)))


def test_other_data_have_another_digest(npz_file):
    first = Digits(path=str(npz_file())).digest
    other = TRAINING[0].copy()
    other[3, 1, 2] += 1
    digests = [
        Digits(path=str(npz_file(x_train=other))).digest,
        Digits(path=str(npz_file(y_test=TEST[1][::-1]))).digest,
    ]
    assert len({first, *digests, Digits().digest}) == 4
    assert Digits(path=str(npz_file())).digest == first
