"""Checkpoints as files: whole or not there, the last ones and the best, and what does not fit is refused."""

import errno
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rnnexp.algorithms import AdaptiveBPTT, TruncatedBPTT
from rnnexp.checks import UserError
from rnnexp.layers import TimeGRU, TimeLSTM, build_network
from rnnexp.tasks import Echo, Parity, Recall, Sine
from rnnexp.training import SGD, Adam, AdamW, RMSProp, train
from rnnexp.training.checkpoint import load, save
from rnnexp.training.checkpoint_folder import Checkpoints


def a_trainer(
    task=None, *, seed=0, updates=3, optimizer=None, algorithm=None, batch_size=3, dtype=np.float32, **settings
):
    task = Echo(lag=2) if task is None else task
    network = build_network(
        **{"hidden_size": 4, "embedding_dim": 3, "cell": TimeGRU} | settings,
        output_size=task.output_size,
        input_size=task.input_size,
        input_kind=task.input_kind,
        rng=np.random.default_rng(seed),
        dtype=dtype,
    )
    run = train(
        network,
        task,
        optimizer=optimizer or Adam(0.01),
        steps=20,
        rng=np.random.default_rng(seed),
        algorithm=algorithm or TruncatedBPTT(5, 2),
        batch_size=batch_size,
        staleness_steps=4,
    )
    for _ in range(updates):
        run.trainer.update()
    return run.trainer


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(one, other):
    """Whether two states hold the same, bit for bit, arrays in the same order in memory."""
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        equal = (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        return equal and np.argsort(one.strides).tolist() == np.argsort(other.strides).tolist()
    return type(one) is type(other) and repr(one) == repr(other)


STRANGE = {
    "numbers": {"big": 2**200, "negative": -5, "nan": float("nan"), "inf": float("inf"), "tiny": 5e-324, "none": None},
    "texts": {"": "empty", "a/b": "c%2F", "..": "\n\0ü", "file": True, "x.npy": [1, [2.5, None], "z"]},
    "arrays": {
        "": np.arange(3),
        "a/b": np.zeros(()),
        "c.npy": np.zeros((0, 4), np.float32),
        "swapped": np.arange(24.0).reshape(2, 3, 4).swapaxes(0, 1),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "every other": np.arange(10)[::2],
        "one": np.full((1, 3, 1), True),
        "repeated": np.broadcast_to(np.arange(3, dtype=np.uint8), (4, 3)),
        "complex": np.array([1 + 2j, np.nan], np.complex64),
        "bits": np.array([np.nan, -0.0, np.inf, 5e-324]),
    },
    "nothing": {},
}


def test_a_state_comes_back_as_it_was(tmp_path):
    save(tmp_path / "a.npz", STRANGE)
    back = load(tmp_path / "a.npz")
    assert same(back["numbers"], STRANGE["numbers"]) and same(back["texts"], STRANGE["texts"])
    assert back.keys() == STRANGE.keys() and back["arrays"].keys() == STRANGE["arrays"].keys()
    for name, array in STRANGE["arrays"].items():
        own = back["arrays"][name]
        assert (own.dtype, own.shape, own.tobytes()) == (array.dtype, array.shape, array.tobytes()), name
        assert own.flags.writeable
    assert back["arrays"]["swapped"].strides == STRANGE["arrays"]["swapped"].copy("K").strides
    assert back["arrays"]["columns"].flags.f_contiguous


def test_arrays_in_lists_are_packed_and_come_back_in_order(tmp_path):
    rng = np.random.default_rng(0)
    parts = [
        np.float32(rng.random((2, 3))),
        rng.integers(9, size=4),
        np.ones((4, 2))[:0],
        np.array(1.5),
        np.array([True]),
    ]
    parts += [np.asfortranarray(rng.random((3, 2, 4)))]
    state = {"z": [{"b": array, "a": [array, {"deep": array}]} for array in parts] * 200, "a": [1, [None, {}], []]}
    save(tmp_path / "a.npz", state)
    with zipfile.ZipFile(tmp_path / "a.npz") as opened:
        assert len(opened.namelist()) == 4 + 2  # one for each type of number, the plain values and the checksum
    back = load(tmp_path / "a.npz")
    assert same(back, state)
    back["z"][0]["b"][...] = 7.0
    assert same(back["z"][0]["a"][0], parts[0])


def test_no_name_is_taken(tmp_path):
    state = {
        "!<f8": np.ones(6),
        "packed": [np.ones(7)],
        "sha256": np.ones(3),
        "!sha256": np.ones(4),
        "!plain.json": np.ones(5),
        "plain.json": {"!sha256": 1},
    }
    save(tmp_path / "a.npz", state)
    assert same(load(tmp_path / "a.npz"), state)


def test_a_trainers_state_comes_back_as_it_was(tmp_path):
    state = a_trainer(cell=TimeLSTM, num_layers=2).state()
    save(tmp_path / "a.npz", state)
    assert same(load(tmp_path / "a.npz"), state)


def test_the_same_state_makes_the_same_file_which_numpy_reads(tmp_path):
    trainer = a_trainer()
    save(tmp_path / "a.npz", trainer.state())
    save(tmp_path / "b.npz", trainer.state())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        weights = trainer.network.parameters.values["recurrent.Wh"]
        assert np.array_equal(arrays["parameters/recurrent.Wh"], weights)


@pytest.mark.parametrize("thing", [object(), {1, 2}, np.array(["text"]), np.array([None]), {1: 2}, [{1}]])
def test_what_is_no_array_and_no_plain_value_is_not_written(thing, tmp_path):
    save(tmp_path / "a.npz", {"before": 1})
    with pytest.raises(TypeError, match="part"):
        save(tmp_path / "a.npz", {"part": thing})
    assert load(tmp_path / "a.npz") == {"before": 1}
    assert names(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("state", [{"x": np.zeros(2**10)}, {"text": "x" * 2**11}])
def test_what_could_not_be_read_back_is_not_written(state, tmp_path, monkeypatch):
    monkeypatch.setattr("rnnexp.training.checkpoint.LARGEST", 2**12)
    monkeypatch.setattr("rnnexp.training.checkpoint.PLAIN_BYTES", 2**11)
    save(tmp_path / "a.npz", {"x": np.zeros(2**9)})
    with pytest.raises(UserError, match=r"a\.npz would hold more than"):
        save(tmp_path / "a.npz", state)
    assert len(load(tmp_path / "a.npz")["x"]) == 2**9


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")]


@pytest.mark.parametrize("error", FAILURES, ids=["full", "broken"])
@pytest.mark.parametrize("where", ["replace", "fsync", "write"])
def test_a_failure_leaves_the_file_before_and_nothing_else(where, error, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    save(tmp_path / "a.npz", {"step": 1})
    with monkeypatch.context() as broken:
        if where == "write":
            broken.setattr("rnnexp.training.checkpoint.npy.write_array", fail)
        else:
            broken.setattr(os, where, fail)
        with pytest.raises(UserError, match=r"a\.npz can't be written: (No space|Input/output)"):
            save(tmp_path / "a.npz", {"step": 2, "x": np.ones(3)})
    assert load(tmp_path / "a.npz") == {"step": 1}
    assert names(tmp_path) == ["a.npz"]
    save(tmp_path / "a.npz", {"step": 3})
    assert load(tmp_path / "a.npz") == {"step": 3}


def test_an_interrupt_leaves_the_file_before_and_nothing_else(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    save(tmp_path / "a.npz", {"step": 1})
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.npz", {"step": 2})
    assert load(tmp_path / "a.npz") == {"step": 1}
    assert names(tmp_path) == ["a.npz"]


def test_a_process_killed_before_the_end_leaves_the_one_before_and_what_it_left_is_cleared_away(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*args, **kwargs):
        raise Killed

    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, {"step": 1})
    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", die)
        dying.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            checkpoints.write(2, {"step": 2})
    assert len(names(tmp_path)) == 2
    assert Checkpoints(tmp_path).load_latest() == (tmp_path / "step-000000001.npz", {"step": 1, "loss": None})
    Checkpoints(tmp_path).write(2, {"step": 2})
    assert names(tmp_path) == ["step-000000001.npz", "step-000000002.npz"]


def test_the_order_is_file_then_name_then_folder(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append(paths), replace(*paths)))
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(stat.S_ISDIR(os.fstat(number).st_mode)), fsync(number))
    )
    save(tmp_path / "a.npz", {"step": 1})
    file, renamed, folder = done
    assert file is False and folder is True
    assert renamed[1] == tmp_path / "a.npz" and renamed[0].parent == tmp_path


@pytest.mark.parametrize("missing", ["absent.npz", "folder/absent.npz", "."])
def test_what_is_not_there_is_told_in_two_lines(missing, tmp_path):
    with pytest.raises(UserError, match="the one before it") as refused:
        load(tmp_path / missing)
    assert str(tmp_path) in refused.value.problem
    assert len(refused.value.message().splitlines()) == 2
    with pytest.raises(UserError, match="can't be written"):
        save(tmp_path / "folder" / "a.npz", {})


def test_the_last_two_and_the_best_are_kept(tmp_path):
    folder = tmp_path / "runs" / "checkpoints"
    checkpoints = Checkpoints(folder)
    for step, loss in enumerate([0.9, 0.5, 0.7, None, float("nan"), 0.5, 0.6]):
        path = checkpoints.write(step, {"step": step}, loss)
        assert load(path) == {"step": step, "loss": loss if loss and loss == loss else None}
    assert names(folder) == ["best.npz", "step-000000005.npz", "step-000000006.npz"]
    assert load(checkpoints.best) == {"step": 1, "loss": 0.5}
    assert [path.name for path in checkpoints.latest()] == ["step-000000006.npz", "step-000000005.npz", "best.npz"]


def test_the_best_is_still_known_when_a_run_goes_on(tmp_path):
    Checkpoints(tmp_path).write(1, {"step": 1}, 0.5)
    Checkpoints(tmp_path).write(2, {"step": 2}, 0.6)
    assert load(tmp_path / "best.npz")["step"] == 1
    Checkpoints(tmp_path).write(3, {"step": 3}, 0.4)
    assert load(tmp_path / "best.npz")["step"] == 3
    (tmp_path / "best.npz").write_bytes(b"damaged")
    Checkpoints(tmp_path).write(4, {"step": 4}, 0.9)
    assert load(tmp_path / "best.npz")["step"] == 4


def test_the_best_is_a_copy_where_there_are_no_links(tmp_path, monkeypatch):
    def fail(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.write(1, {"step": 1}, 0.5)
    checkpoints.write(2, {"step": 2}, 0.7)
    assert names(tmp_path) == ["best.npz", "step-000000002.npz"]
    assert load(checkpoints.best) == {"step": 1, "loss": 0.5}


def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_word(tmp_path):
    checkpoints, told = Checkpoints(tmp_path), []
    for step in (1, 2):
        checkpoints.write(step, {"step": step, "x": np.arange(50)}, 1.0 - step)
    newest = tmp_path / "step-000000002.npz"
    newest.write_bytes(newest.read_bytes()[:-40])  # the best is the same file by another name
    assert checkpoints.load_latest(told.append)[1]["step"] == 1
    assert len(told) == 1 and "step-000000002.npz" in told[0]
    (tmp_path / "step-000000001.npz").write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint to go on from"):
        checkpoints.load_latest(told.append)
    assert len(told) == 4


def test_a_run_that_goes_on_from_an_earlier_checkpoint_leaves_the_later_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (100, 200):
        checkpoints.write(step, {"step": step})
    checkpoints.write(150, {"step": 150})
    assert names(tmp_path) == ["step-000000100.npz", "step-000000150.npz"]


def test_a_later_step_is_later_however_many_digits_it_has(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (999_999_999, 1_000_000_000):
        checkpoints.write(step, {"step": step})
    assert checkpoints.load_latest()[1]["step"] == 1_000_000_000
    (tmp_path / "step-x.npz").write_bytes(b"somebody's own")
    checkpoints.write(1_000_000_001, {})
    assert "step-x.npz" in names(tmp_path)


def test_a_failure_to_write_leaves_those_before(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, {"step": step}, 1.0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as broken:
            broken.setattr(os, name, full)
            with pytest.raises(UserError, match="No space left on device"):
                checkpoints.write(3, {"step": 3}, 0.1)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert Checkpoints(tmp_path).load_latest()[1] == {"step": 2, "loss": 1.0}


OTHERS = {
    "hidden size": lambda: a_trainer(hidden_size=5),
    "embedding": lambda: a_trainer(embedding_dim=None),
    "cell": lambda: a_trainer(cell=TimeLSTM),
    "layers": lambda: a_trainer(num_layers=2),
    "start": lambda: a_trainer(learn_initial_state=True),
    "dtype": lambda: a_trainer(dtype=np.float64),
    "batch size": lambda: a_trainer(batch_size=4),
    "optimizer": lambda: a_trainer(optimizer=AdamW(0.01)),
    "no memory": lambda: a_trainer(optimizer=SGD(0.01)),
    "lag": lambda: a_trainer(Echo(lag=3)),
    "episodes": lambda: a_trainer(Recall(2, lag=4, distractors=1)),
    "values": lambda: a_trainer(Sine()),
    "truncation": lambda: a_trainer(algorithm=AdaptiveBPTT(5)),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_state_of_another_configuration_is_refused_and_changes_nothing(other, turned):
    one, two = a_trainer(), OTHERS[other]()
    if turned:
        one, two = two, one
    before = two.state()
    with pytest.raises(UserError, match="the checkpoint does not fit: ") as refused:
        two.restore(one.state())
    assert len(refused.value.message().splitlines()) == 2
    assert same(two.state(), before)


def leaves(state, path=()):
    for key, value in state.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        yield (*path, key), value


WRONG = ["text", -1, 1.5, True, None, [], {}, np.zeros(2), np.full((3, 3), np.nan), np.full(1, 2**62)]


@pytest.mark.parametrize("task", [lambda: Echo(lag=2), lambda: Recall(3, lag=8), lambda: Sine()])
def test_whatever_is_missing_or_wrong_is_refused_and_changes_nothing(task):
    def trainer(seed):
        return a_trainer(
            task(), seed=seed, algorithm=AdaptiveBPTT(3, 2, every=2, max_length=6), cell=TimeLSTM, updates=4
        )

    good, other = trainer(1), trainer(2)
    before = other.state()
    cases = refused = 0
    for path, value in leaves(good.state()):
        for wrong in ["missing", *WRONG]:
            state = good.state()
            at = state
            for key in path[:-1]:
                at = at[key]
            if isinstance(wrong, str) and wrong == "missing":
                del at[path[-1]]
            else:
                at[path[-1]] = wrong
            cases += 1
            try:
                other.restore(state)
            except UserError:
                refused += 1
                assert same(other.state(), before), path
            else:
                # None where it may stand, or another number of the same kind.
                assert wrong is None or type(wrong) is type(value) or isinstance(value, float | None), (path, wrong)
                other.restore(before)
    assert cases > 500 and refused > 0.8 * cases


def changed(state, path, change):
    """The state with one leaf changed."""
    *parents, last = path
    at = state
    for key in parents:
        at = at[key]
    at[last] = change(at[last])
    return state


def put(array, value):
    array.flat[0] = value
    return array


DATA = ("parts", "data")
VALUES = {
    "a step before the first": (("step",), lambda step: -1, "step is -1"),
    "a token that is none": ((*DATA, "batch", "inputs"), lambda a: put(a, 99), "data/batch/inputs holds"),
    "a negative token": ((*DATA, "batch", "inputs"), lambda a: put(a, -1), "data/batch/inputs holds -1"),
    "a class that is none": ((*DATA, "batch", "targets"), lambda a: a + 99, "data/batch/targets holds"),
    "a position at the end": ((*DATA, "position"), lambda at: 12, "data/position is 12 in episodes of 12 steps"),
    "a position before the beginning": ((*DATA, "position"), lambda at: -1, "data/position is -1"),
    "a mask of fewer steps": ((*DATA, "batch", "mask"), lambda a: a[1:], "differ in their number of steps"),
    "targets of more steps": ((*DATA, "batch", "targets"), lambda a: a.repeat(2, 0), "differ in their number of steps"),
    "a window's token that is none": (("window", "inputs"), lambda a: put(a, 99), "window/inputs holds"),
    "a window of no steps": (("window", "inputs"), lambda a: a[:0], "window/inputs is empty"),
    "a window of fewer steps": (("window", "inputs"), lambda a: a[1:], "window/layers/"),
    "states of fewer steps": (("window", "layers", "recurrent", "h"), lambda a: a[1:], "window/layers/recurrent/h has"),
    "an origin that is a number": (("window", "from_start", "recurrent"), int, "window/from_start/recurrent is"),
    "a past's token that is none": (("past", 0, "inputs"), lambda a: put(a, 99), "past/inputs holds"),
    "a past of no steps": (("past", 0, "inputs"), lambda a: a[:0], "past/inputs is empty"),
    "a past of fewer sequences": (("past", 0, "inputs"), lambda a: a[:, 1:], "past/0/inputs has shape"),
    "a past from another network": (("past", 0, "start"), lambda a: np.zeros((3, 5), np.float32), "past/0/start has"),
    "another optimizer": (("optimizer", "kind"), lambda kind: "SGD", "its optimizer is SGD, here it is Adam"),
    "a slot that is missing": (("optimizer", "slots"), lambda s: dict([*s.items()][1:]), "optimizer/slots/"),
    "a slot that is a number": (("optimizer", "slots"), lambda s: {**s, "more": 1}, "optimizer/slots/more has no"),
}


@pytest.mark.parametrize(("path", "change", "problem"), VALUES.values(), ids=VALUES)
def test_values_that_could_not_be_used_are_refused_and_change_nothing(path, change, problem):
    trainer = a_trainer(Parity(length=12), updates=4)
    before = trainer.state()
    assert len(before["parts"]["data"]["batch"]["inputs"]) == 12 and len(before["window"]["inputs"]) == 5
    with pytest.raises(UserError, match=f"the checkpoint does not fit: .*{problem}"):
        trainer.restore(changed(trainer.state(), path, change))
    assert same(trainer.state(), before)
    trainer.restore(before)


def test_a_component_that_refuses_leaves_the_others_as_they_were():
    class Clipping:
        seen, refuses = 0, False

        def __call__(self, gradient):
            self.seen += 1
            return np.linalg.norm(gradient), np.False_

        def state(self):
            return {"seen": self.seen}

        def restore(self, state):
            if self.refuses:
                self.refuses = False
                raise UserError("not me")
            self.seen = state["seen"]

    trainer = a_trainer(algorithm=AdaptiveBPTT(3, 2, every=2, max_length=6), optimizer=RMSProp(), updates=0)
    trainer.clipping = Clipping()
    first = trainer.state()
    for _ in range(5):
        trainer.update()
    later = trainer.state()
    assert not same(first["parts"]["algorithm"], later["parts"]["algorithm"])
    trainer.clipping.refuses = True
    with pytest.raises(UserError, match="not me"):
        trainer.restore(first)
    assert same(trainer.state(), later)
    trainer.restore(first)
    assert same(trainer.state(), first)
