"""A run that is interrupted, saved, loaded and continued by fresh objects is the run that never was, bit for bit."""

import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest
from pairwise import pairs, thorough_after_first

from rnnexp.algorithms import RTRL, UORO, AdaptiveBPTT, RandomizedBPTT, SnAp, TruncatedBPTT
from rnnexp.layers import Initializers, Normal, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN, build_network
from rnnexp.layers.recurrent import Recurrent
from rnnexp.tasks import Echo, EpisodeTask, InfluenceBalancing, Place, Recall, Sine, StreamTask, Table, Text
from rnnexp.training import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Cosine,
    NormClipping,
    Omega,
    RMSProp,
    StepDecay,
    ValueClipping,
    WeightDecay,
    train,
)
from rnnexp.training.checkpoint import load, save

SMALL = runpy.run_path(str(Path(__file__).parents[1] / "tasks" / "small_tasks.py"))["TASKS"]
UPDATES = 12


class PlainStep(Recurrent):
    """A cell that only says what one step is."""

    @staticmethod
    def parameter_shapes(input_size, hidden_size):
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size)}

    def __init__(self, Wx, Wh, stateful=False, **options):
        super().__init__((Wx, Wh), hidden_size=Wh.shape[-1], stateful=stateful, **options)

    def step(self, x, state):
        return (np.tanh(x @ self.params[0] + state[0] @ self.params[1]),)

    def step_back(self, x, state, dstate):
        (h,) = self.step(x, state)
        dpre = dstate[0] * (1.0 - h * h)
        grads = [x.swapaxes(-1, -2) @ dpre, state[0].swapaxes(-1, -2) @ dpre]
        return dpre @ self.params[0].T, (dpre @ self.params[1].T,), grads


CELLS = {
    "rnn": {"cell": TimeRNN},
    "gru": {"cell": TimeGRU},
    "leaky": {"cell": TimeLeaky},
    "lstm": {"cell": TimeLSTM},
    "own": {"cell": PlainStep},
    "rnn, no embedding": {"cell": TimeRNN, "embedding_dim": None},
    "gru, start": {"cell": TimeGRU, "learn_initial_state": True, "init": Initializers(state=Normal(0.5))},
    "two rnn, start": {"num_layers": 2, "learn_initial_state": True, "init": Initializers(state=Normal(0.5))},
    "three lstm": {"cell": TimeLSTM, "num_layers": 3},
    "frozen": {"cell": TimeGRU, "freeze": ["embedding", "recurrent.Wh"]},
}
TRUNCATIONS = {
    "windows": lambda: TruncatedBPTT(4),
    "overlapping": lambda: TruncatedBPTT(6, 2),
    "whole in steps": lambda: TruncatedBPTT(None, 3),
    "randomized": lambda: RandomizedBPTT(3),
    "adaptive": lambda: AdaptiveBPTT(3, every=3, max_length=9, sequences=4, tolerance=0.5),
    "rtrl": RTRL,
    "snap, every third step": lambda: SnAp(stride=3),
    "uoro": UORO,
    "adaptive, overlapping": lambda: AdaptiveBPTT(3, 2, every=4, max_length=9, sequences=4, tolerance=0.1),
}
OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.05, momentum=0.9),
    "nesterov": lambda: SGD(0.05, momentum=0.9, nesterov=True),
    "adagrad": lambda: Adagrad(0.05, initial=0.1),
    "rmsprop": lambda: RMSProp(0.01),
    "rmsprop, momentum": lambda: RMSProp(0.01, momentum=0.5, initial=1.0, epsilon=0.0),
    "adam": lambda: Adam(0.02),
    "adamw": lambda: AdamW(0.02),
}


def a_run(task, seed, *, algorithm=TRUNCATIONS["windows"], optimizer=OPTIMIZERS["adam"], dtype=np.float32, **settings):
    """A fresh run; weights and data come from `seed`."""
    network_settings = {"cell": TimeLSTM, "embedding_dim": 3}
    network_settings |= {key: settings.pop(key) for key in list(settings) if key in NETWORK}
    network = build_network(
        hidden_size=4,
        output_size=task.output_size,
        input_size=task.input_size,
        input_kind=task.input_kind,
        rng=np.random.default_rng(seed),
        dtype=dtype,
        **network_settings,
    )
    held_out = task.evaluation(rng=np.random.default_rng(99))
    settings = {"batch_size": 5, "steps": UPDATES, "eval_every": 4} | settings
    return train(
        network,
        task,
        optimizer=optimizer(),
        rng=np.random.default_rng(seed + 100),
        algorithm=algorithm(),
        evaluate_on=held_out,
        study=lambda network: float(network.parameters.vector.sum()),
        study_every=5,
        staleness_steps=7,
        **settings,
    )


NETWORK = ("cell", "num_layers", "learn_initial_state", "freeze", "init", "embedding_dim")


def numbers(reports):
    """Everything in some reports, as text that tells every bit; the reports before an update are left out."""
    return [repr(report) for report in reports if report.step]


def continued(make_task, cuts, path, **settings):
    """The reports and weights of a run that is interrupted after the updates `cuts` and goes on in fresh objects."""
    reports, state = [], None
    for number, cut in enumerate([*cuts, UPDATES]):
        # Each from another seed: what it goes on with can only come from the file.
        run = a_run(make_task(), number + 1, **settings)
        if state is not None:
            run.trainer.restore(state)
        going = run.reports()
        while run.trainer.step < cut:
            reports.append(next(going))
        save(path, run.trainer.state())
        state = load(path)
    return numbers(reports), run.trainer.network.parameters.vector


def assert_continues(name, make_task, tmp_path, **settings):
    whole = a_run(make_task(), 1, **settings)
    expected = numbers(whole.reports())
    assert len(expected) == UPDATES
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    for cuts in (
        [int(draw.integers(1, UPDATES))],
        sorted(draw.choice(np.arange(1, UPDATES), 3, replace=False).tolist()),
    ):
        reports, vector = continued(make_task, cuts, tmp_path / "state.npz", **settings)
        assert reports == expected, cuts
        assert vector.tobytes() == whole.trainer.network.parameters.vector.tobytes(), cuts


@pytest.fixture
def maker(tmp_path):
    """What makes the small task of a name."""

    def made(name):
        if SMALL[name] is not None:
            return SMALL[name]
        rng = np.random.default_rng(0)
        if name.startswith("text"):
            (tmp_path / "a.txt").write_text("".join(rng.choice(list("abcde\n "), size=600)))
            return lambda: Text(4 if "capped" in name else None, path=str(tmp_path / "a.txt"))
        rows = [f"{row // 9},{','.join(f'{value:.4f}' for value in rng.standard_normal(3))}" for row in range(90)]
        (tmp_path / "a.csv").write_text("\n".join(["id,a,b,c", *rows]))
        more = {"inputs": ["a", "b"], "length": 7}
        if "ids" in name:
            more = {"inputs": ["a", "b", "c"], "targets": "c", "sequence": "id"}
        return lambda: Table(path=str(tmp_path / "a.csv"), **more)

    return made


#: Every task with two truncations, the second one thorough.
FOUR = ["windows", "overlapping", "randomized", "adaptive"]
TASK_ROWS = [(task, FOUR[(number + more) % 4]) for more in (0, 2) for number, task in enumerate(SMALL)]


@pytest.mark.parametrize(("task", "algorithm"), thorough_after_first(TASK_ROWS))
def test_every_task_goes_on_bit_for_bit(maker, task, algorithm, tmp_path):
    assert_continues(task + algorithm, maker(task), tmp_path, algorithm=TRUNCATIONS[algorithm], cell=TimeGRU)


THREE = {
    "episodes": lambda: Recall(3, lag=6, eval_sequences=5),
    "stream of tokens": lambda: Echo(lag=2, eval_streams=3, eval_steps=20),
    "stream of values": lambda: Sine(eval_streams=3, eval_steps=20),
}


def has_an_end(task, algorithm, cell=None):
    """Whether a task can be given whole: a stream has no end to go to."""
    return task == "episodes" or algorithm != "whole in steps"


#: Every truncation with every kind of task.
PAIRS = thorough_after_first(pairs(list(THREE), list(TRUNCATIONS), allowed=has_an_end))
every_pair = pytest.mark.parametrize(("task", "algorithm"), PAIRS)
TRIPLES = thorough_after_first(pairs(list(THREE), list(TRUNCATIONS), list(CELLS), allowed=has_an_end))


@pytest.mark.parametrize(("task", "algorithm", "cell"), TRIPLES)
def test_every_cell_and_truncation_goes_on_bit_for_bit(task, cell, algorithm, tmp_path):
    settings = CELLS[cell]
    # Each cell and each truncation meets both.
    dtype = [np.float32, np.float64][(list(CELLS).index(cell) + list(TRUNCATIONS).index(algorithm)) % 2]
    assert_continues(
        task + cell + algorithm, THREE[task], tmp_path, algorithm=TRUNCATIONS[algorithm], dtype=dtype, **settings
    )


PARTS = {
    "cosine": {"schedule": Cosine(warmup=3)},
    "step and clipping": {"schedule": StepDecay(every=3), "clipping": NormClipping(0.05)},
    "clipping and decay": {"clipping": ValueClipping(0.01), "regularizer": WeightDecay(0.1)},
    "omega": {"cell": TimeRNN, "regularizer": Omega(1.0)},
}


@pytest.mark.parametrize(
    ("optimizer", "parts", "dtype"),
    thorough_after_first(pairs(list(OPTIMIZERS), list(PARTS), ["float32", "float64"])),
)
def test_every_optimizer_goes_on_bit_for_bit(optimizer, parts, dtype, tmp_path):
    settings = {"optimizer": OPTIMIZERS[optimizer], "dtype": np.dtype(dtype), **PARTS[parts]}
    assert_continues(optimizer, THREE["episodes"], tmp_path, **settings)


@every_pair
def test_saving_at_every_update_changes_nothing(task, algorithm, tmp_path):
    plain, saving = (a_run(THREE[task](), 1, algorithm=TRUNCATIONS[algorithm]) for _ in range(2))
    expected, reports = numbers(plain.reports()), []
    for report in saving.reports():
        save(tmp_path / "state.npz", saving.trainer.state())
        reports.append(report)
    assert numbers(reports) == expected


@every_pair
def test_one_object_goes_back_as_often_as_it_is_asked_to(task, algorithm):
    run = a_run(THREE[task](), 1, algorithm=TRUNCATIONS[algorithm])
    trainer, states, expected = run.trainer, [], []
    for _ in range(UPDATES):
        states.append(trainer.state())
        expected.append(repr(trainer.update()))
    for at in (7, 3, 3, 0, 11, 5):
        trainer.restore(states[at])
        assert [repr(trainer.update()) for _ in range(at, UPDATES)] == expected[at:]


def test_a_state_is_a_copy_and_stays_as_it_is(tmp_path):
    trainer = a_run(THREE["stream of values"](), 1, algorithm=TRUNCATIONS["overlapping"]).trainer
    trainer.update()
    state = trainer.state()
    save(tmp_path / "before.npz", state)
    for _ in range(3):
        trainer.update()
    trainer.restore(state)
    for _ in range(3):
        trainer.update()
    save(tmp_path / "after.npz", state)
    assert (tmp_path / "before.npz").read_bytes() == (tmp_path / "after.npz").read_bytes()


class Wandering(StreamTask):
    """A stream whose place holds numbers and a generator besides arrays, and which counts what it gave."""

    input_kind, input_size, target_kind, output_size, scored = "values", 2, "values", 2, "every step"
    baseline = None
    eval_streams, eval_steps = 3, 10

    def __init__(self):
        self.given = np.zeros(2, np.int64)

    def begin(self, batch_size, *, rng):
        place = Place({"at": np.zeros((batch_size, 2)), "noise": np.float64(0.1), "kind": "walk", "pair": (1, 2)})
        place.own = np.random.default_rng(rng.integers(100))
        place.read = 0
        return place

    def read(self, place, steps, *, rng):
        children = rng.spawn(1)[0]
        place.read += steps
        self.given += [steps, 1]
        shape = (steps + 1, *place.arrays["at"].shape)
        moves = place.own.standard_normal(shape) + children.standard_normal(shape)
        walk = place.arrays["at"] + place.arrays["noise"] * moves.cumsum(axis=0) + self.given[1] % 3 + place.read % 2
        place.arrays["at"] = np.tanh(walk[-2])
        place.arrays["noise"] = np.float64(0.1 + 0.01 * (place.read % 5))
        # Sequences first in memory, as what was swapped.
        first = np.ascontiguousarray(walk.swapaxes(0, 1)).swapaxes(0, 1)
        return first_steps(first, steps)

    def state(self):
        return {"given": self.given}

    def restore(self, state):
        self.given = state["given"]


def first_steps(walk, steps):
    from rnnexp.tasks import Batch

    return Batch(walk[:steps], walk[1:], np.ones((steps, walk.shape[1]), bool))


class SwappedEpisodes(EpisodeTask):
    """Episodes whose arrays lie in memory with the sequences first, and whose generator spawns."""

    input_kind, input_size, target_kind, output_size, scored = "values", 3, "classes", 4, "every step"
    baseline = None

    def __init__(self):
        super().__init__(eval_sequences=4)

    def sample(self, batch_size, *, rng):
        from rnnexp.tasks import Batch

        own = rng.spawn(2)[1]
        inputs = own.standard_normal((batch_size, 11, 3)).swapaxes(0, 1)
        targets = rng.integers(4, size=(batch_size, 11)).T
        allowed = rng.random((11, batch_size, 4)) < 0.3
        return Batch(inputs, targets, rng.random((11, batch_size)) < 0.7, allowed)


@pytest.mark.parametrize("algorithm", ["windows", "overlapping", "randomized", "adaptive"])
@pytest.mark.parametrize("task", [Wandering, SwappedEpisodes])
def test_a_task_with_other_things_in_its_place_and_state_of_its_own_goes_on(task, algorithm, tmp_path):
    assert_continues(algorithm, task, tmp_path, algorithm=TRUNCATIONS[algorithm], embedding_dim=None, cell=TimeRNN)


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_every_kind_of_generator_goes_on(bits, tmp_path):
    def trainer(seed):
        made = a_run(THREE["episodes"](), seed)
        made.trainer.data.rng = np.random.Generator(bits(seed))
        return made.trainer

    first, second = trainer(1), trainer(2)
    first.data.rng.random(3, dtype=np.float32)  # half a word is kept
    for _ in range(4):
        first.update()
    save(tmp_path / "a.npz", first.state())
    second.restore(load(tmp_path / "a.npz"))
    assert [repr(first.update()) for _ in range(5)] == [repr(second.update()) for _ in range(5)]


class Momentary:
    """An optimizer of a person's own: what it keeps is in `slots`, one of them made late."""

    def __init__(self):
        self.learning_rate, self.slots = 0.1, {}

    def update(self, vector, gradient):
        count = self.slots.setdefault("count", np.zeros((), np.int64))
        count += 1
        if count > 3:
            late = self.slots.setdefault("late", np.zeros_like(vector))
            late += gradient
            vector -= self.learning_rate * late
        vector -= self.learning_rate * gradient


class Growing(TruncatedBPTT):
    """A truncation of a person's own whose window grows."""

    varies = True

    def segment(self, *, rng):
        self.length = self.stride = min(9, self.length + 1)
        return type(self._segment)(self.length, self.length)

    def state(self):
        return {"length": self.length}

    def restore(self, state):
        self.length = self.stride = state["length"]


class Tightening(NormClipping):
    """A clipping of a person's own that remembers."""

    seen = 0.0

    def __call__(self, gradient):
        norm, clipped = super().__call__(gradient)
        self.seen = 0.5 * self.seen + float(norm)
        self.threshold = 0.1 / (1.0 + self.seen)
        return norm, clipped

    def state(self):
        return {"seen": self.seen, "threshold": self.threshold}

    def restore(self, state):
        self.seen, self.threshold = state["seen"], state["threshold"]


def test_components_of_a_persons_own_go_on(tmp_path):
    def run(seed):
        return a_run(
            THREE["episodes"](), seed, algorithm=lambda: Growing(2), optimizer=Momentary, clipping=Tightening(0.1)
        )

    whole = run(1)
    expected = numbers(whole.reports())
    for cut in range(1, UPDATES):
        first, second = run(1), run(2)
        reports = [next(going) for going in [first.reports()] for _ in range(cut + 1)]
        save(tmp_path / "a.npz", first.trainer.state())
        second.trainer.restore(load(tmp_path / "a.npz"))
        assert numbers(reports) + numbers(second.reports()) == expected
        assert np.array_equal(second.trainer.network.parameters.vector, whole.trainer.network.parameters.vector)


@pytest.mark.parametrize("task", [name for name in SMALL if SMALL[name] is not None])
def test_no_task_keeps_anything_that_training_changes_on_itself(task):
    made = SMALL[task]()
    made.evaluation(rng=np.random.default_rng(0))
    before = repr({key: value for key, value in vars(made).items() if not callable(value)})
    trainer = a_run(made, 1).trainer
    for _ in range(3):
        trainer.update()
    after = repr({key: value for key, value in vars(made).items() if not callable(value)})
    assert after == before


def test_whole_episodes_are_saved_without_their_window():
    trainer = a_run(THREE["episodes"](), 1, algorithm=lambda: TruncatedBPTT(None)).trainer
    trainer.update()
    state = trainer.state()
    assert state["window"] is None and state["parts"]["data"]["batch"] is None
    stream = a_run(InfluenceBalancing(eval_steps=20), 1, algorithm=TRUNCATIONS["overlapping"]).trainer
    stream.update()
    assert stream.state()["window"] is not None
