"""Networks trained as one: every number of every report, and the weights, are those of each trained alone."""

import copy
import dataclasses
from dataclasses import astuple

import numpy as np
import pytest
from training_cases import CELLS, same

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.gradients import GradientStudy
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Echo, LongLag, Reber, Recall, Sine, Text
from rnnexp.training import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Cosine,
    NormClipping,
    Omega,
    RMSProp,
    StackedTrainer,
    Streams,
    ValueClipping,
    WeightDecay,
    train,
    train_together,
)
from rnnexp.training.evaluation import evaluate_copies

COPIES, STEPS = 4, 12


def a_run(
    seed, task, *, optimizer, steps=STEPS, batch_size=3, algorithm=None, cell=None, study=None, length=20, **settings
):
    streams = Streams(seed)
    cell = {"dtype": np.float32, **(cell or {})}
    network = build_network(
        hidden_size=6,
        embedding_dim=3 if task.input_kind == "tokens" else None,
        input_size=task.input_size,
        input_kind=task.input_kind,
        output_size=task.output_size,
        rng=streams.init,
        **cell,
    )
    if study is not None:
        held_out = study.select(task, task.evaluation(rng=Streams(seed).evaluation))
        looked = copy.copy(study)
        study = lambda network: looked(network, held_out, task.target_kind, length=length)  # noqa: E731
    return train(
        network,
        task,
        optimizer=optimizer,
        steps=steps,
        rng=streams.data,
        algorithm=algorithm or TruncatedBPTT(length),
        batch_size=batch_size,
        evaluate_on=task.evaluation(rng=streams.evaluation),
        eval_every=5,
        study=study or (lambda network: None),
        study_every=4,
        staleness_steps=7,
        **settings,
    )


def both_ways(make, copies=COPIES):
    """The runs and reports of all copies, trained alone and together."""
    alone = [make(seed) for seed in range(copies)]
    expected = [list(run.reports()) for run in alone]
    together = [make(seed) for seed in range(copies)]
    found = [[] for _ in together]
    for index, report in train_together(together):
        found[index].append(report)
    return alone, expected, together, found


def assert_same(alone, expected, together, found):
    for run, reports, own, mine in zip(alone, expected, together, found, strict=True):
        assert len(mine) == len(reports)
        for report, other in zip(reports, mine, strict=True):
            assert same(report, other), (report, other)
        assert same(run.trainer.network.parameters.vector, own.trainer.network.parameters.vector)
        assert same(run.trainer.optimizer.slots, own.trainer.optimizer.slots)
        assert run.trainer.step == own.trainer.step


TASKS = {
    "recall": lambda: Recall(lag=5, eval_sequences=7),
    "adding": lambda: Adding(length=8, eval_sequences=7),
    "echo": lambda: Echo(lag=3),
    "windows without a scored step": lambda: LongLag(lag=7, eval_sequences=5),
    "sequences of unequal length": lambda: Reber(eval_sequences=7),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("length", [20, 3], ids=["whole", "cut"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_task_and_cell(task, length, cell):
    runs = both_ways(
        lambda seed: a_run(seed, task(), optimizer=Adam(0.01), cell=cell, length=length, clipping=NormClipping(0.3))
    )
    assert_same(*runs)
    assert len({reports[-1].train_loss for reports in runs[1]}) == COPIES, "the copies see different data"


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_evaluations_in_parts_of_bounded_memory(task, monkeypatch):
    """Three sequences and two steps at once, and two networks: still as a stack, and still what each is alone."""

    def make(seed):
        own = task()
        own.eval_streams, own.eval_steps = 5, 20
        return a_run(seed, own, optimizer=Adam(0.01))

    whole = [[report.evaluation for report in make(seed).reports()] for seed in range(COPIES)]
    for name, value in {"FEWEST": 3, "OF_STEP": 1, "OF_WINDOW": 36}.items():
        monkeypatch.setattr(f"rnnexp.memory.{name}", value)
    monkeypatch.setattr("rnnexp.training.evaluation.OF_COPIES", 72)
    at_once = []

    def counted(network, batches, *rest):
        at_once.append(len(batches))
        return evaluate_copies(network, batches, *rest)

    monkeypatch.setattr("rnnexp.training.stacked.evaluate_copies", counted)
    runs = both_ways(make)
    assert_same(*runs)
    assert set(at_once) <= {1, 2}
    if not isinstance(task(), Reber):  # whose sequences are as long as they come out
        assert at_once == [2] * len(at_once) != []
    for reports, expected in zip(runs[1], whole, strict=True):
        for report, evaluation in zip(reports, expected, strict=True):
            if evaluation is not None:
                assert report.evaluation.metrics() == pytest.approx(evaluation.metrics(), rel=1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_windows_that_overlap(task, cell):
    def make(seed):
        rate = 1e25 if seed == 1 else 0.01
        return a_run(seed, task(), optimizer=SGD(rate), cell=cell, algorithm=TruncatedBPTT(5, 2), length=5)

    runs = both_ways(make)
    assert_same(*runs)
    assert len(runs[1][0]) == STEPS + 1


def test_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 60)
    assert_same(*both_ways(lambda seed: a_run(seed, Text(path=str(path)), optimizer=SGD(0.5), length=7)))


OPTIMIZERS = {
    "sgd": lambda seed: SGD(0.1 * 2.0**seed),
    "momentum": lambda seed: SGD(0.1, momentum=0.1 + 0.2 * seed),
    "nesterov": lambda seed: SGD(0.05 * (1 + seed % 2), momentum=0.9, nesterov=True),
    "adagrad": lambda seed: Adagrad(0.1, initial=0.1 * (seed % 2)),
    "rmsprop": lambda seed: RMSProp(0.003, decay=0.9 + 0.02 * seed, momentum=0.5),
    "adam": lambda seed: Adam(0.01, beta1=0.8 + 0.1 * (seed % 2)),
    "adamw": lambda seed: AdamW(0.01, weight_decay=0.01 * seed),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_optimizers_with_numbers_of_their_own(optimizer, dtype):
    def make(seed):
        clipping = (NormClipping if dtype == np.float32 else ValueClipping)(0.05 * (1 + seed // 2))
        return a_run(
            seed,
            Recall(lag=4, eval_sequences=5),
            optimizer=optimizer(seed),
            cell={"dtype": dtype},
            clipping=clipping,
            schedule=Cosine(warmup=3),
        )

    alone, expected, together, found = both_ways(make)
    assert_same(alone, expected, together, found)
    assert any(report.clipped for reports in found for report in reports)


@pytest.mark.parametrize("kind", [WeightDecay, Omega])
def test_regularizers_of_different_strength_and_frozen_weights(kind):
    assert_same(
        *both_ways(
            lambda seed: a_run(
                seed,
                Recall(lag=4, eval_sequences=5),
                optimizer=AdamW(0.01),
                regularizer=kind(0.01 * (1 + seed)),
                cell={"freeze": "embedding", "learn_initial_state": True},
            )
        )
    )


def test_gradient_studies():
    study = GradientStudy(sequences=5, lyapunov_exponents=2, jacobians=True, lag_split=True)
    runs = both_ways(lambda seed: a_run(seed, Recall(lag=4, eval_sequences=9), optimizer=Adam(0.01), study=study))
    assert_same(*runs)
    assert [report.step for report in runs[3][0] if report.study is not None] == [0, 4, 8, 12]


def test_one_copy_diverges_and_the_others_go_on():
    def make(seed):
        optimizer = SGD(1e30 if seed == 2 else 0.1, momentum=0.5)
        return a_run(seed, Echo(lag=2), optimizer=optimizer, cell={"cell_options": {"activation": "relu"}})

    alone, expected, together, found = both_ways(make)
    assert_same(alone, expected, together, found)
    assert found[2][-1].diverged and len(found[2]) < STEPS
    assert all(len(found[seed]) == STEPS + 1 and not found[seed][-1].diverged for seed in (0, 1, 3))


@pytest.mark.parametrize("first", [0, 2])
def test_copies_of_one_optimizer_diverge_and_its_count_of_updates_goes_on(first):
    def make(seed):
        run = a_run(seed, Sine(), optimizer=Adam(0.1))
        draw = run.trainer.draw

        def draw_nan_at_the_fourth():
            drawn = draw()
            if seed == first and run.trainer.step == 3:
                drawn.chunk = dataclasses.replace(drawn.chunk, inputs=np.full_like(drawn.chunk.inputs, np.nan))
            return drawn

        run.trainer.draw = draw_nan_at_the_fourth
        return run

    alone, expected, together, found = both_ways(make)
    assert found[first][-1].diverged
    assert all(len(found[seed]) == STEPS + 1 for seed in range(COPIES) if seed != first)
    going = [seed for seed in range(COPIES) if seed != first]
    assert_same(*([runs[seed] for seed in going] for runs in (alone, expected, together, found)))


def test_a_copy_that_is_sent_away_leaves_the_others_as_they_are():
    def make(seed):
        return a_run(seed, Recall(lag=4, eval_sequences=5), optimizer=Adam(0.01))

    expected = [list(make(seed).reports()) for seed in range(3)]
    reports, found, answer = train_together([make(seed) for seed in range(3)]), [[], [], []], None
    while True:
        try:
            index, report = reports.send(answer)
        except StopIteration:
            break
        found[index].append(report)
        answer = index == 1 and report.step == 4
    assert [len(each) for each in found] == [STEPS + 1, 5, STEPS + 1]
    for mine, theirs in zip(found, expected, strict=True):
        assert same(mine, theirs[: len(mine)])


def test_what_was_written_back_can_be_trained_on_alone_or_in_another_stack():
    def make(seed):
        return a_run(seed, Echo(lag=2), optimizer=Adam(0.01 * (1 + seed % 2)), length=3)

    alone = [make(seed).trainer for seed in range(3)]
    expected = [[trainer.update(measure=lambda step: True) for _ in range(9)] for trainer in alone]
    trainers = [make(seed).trainer for seed in range(3)]
    stack = StackedTrainer(trainers)
    found = [list(each) for each in zip(*(stack.update(measure=lambda step: True) for _ in range(3)), strict=True)]
    assert [trainers.index(trainer) for trainer in stack.trainers] == [0, 2, 1], "neighbours have the same numbers"
    found = dict(zip(map(id, stack.trainers), found, strict=True))
    stack.write_back()
    for trainer in trainers:
        found[id(trainer)] += [trainer.update(measure=lambda step: True) for _ in range(3)]
    again = StackedTrainer(trainers)
    for _ in range(3):
        for trainer, report in zip(again.trainers, again.update(measure=lambda step: True), strict=True):
            found[id(trainer)].append(report)
    for trainer, reports in zip(trainers, expected, strict=True):
        assert same(found[id(trainer)], reports)


def test_data_of_unequal_shape_part_the_stack_for_good():
    stack = StackedTrainer([a_run(seed, Reber(eval_sequences=5), optimizer=SGD(0.1)).trainer for seed in range(3)])
    for _ in range(8):
        stack.update()
    assert not stack.together
    same_length = StackedTrainer(
        [a_run(seed, Recall(eval_sequences=5), optimizer=SGD(0.1)).trainer for seed in range(3)]
    )
    same_length.update()
    assert same_length.together


@pytest.mark.parametrize("where", ["sample", "wrong"])
@pytest.mark.parametrize("length", [20, 3], ids=["whole", "cut"])
def test_a_copy_whose_task_raises_leaves_the_others_as_they_are(where, length):
    class Broken(Recall):
        """Raises at the fifth batch that is drawn, or at its second evaluation."""

        calls, broken = 0, False

        def _count(self, most):
            self.calls += self.broken
            if self.calls > most:
                raise RuntimeError("broken")

        def sample(self, batch_size, *, rng):
            if where == "sample":
                self._count(5)
            return super().sample(batch_size, rng=rng)

        def wrong(self, outputs, batch):
            if where == "wrong":
                self._count(1)
            return super().wrong(outputs, batch)

    def make(seed):
        task = Broken(lag=4, eval_sequences=5)
        task.broken = seed == 1
        return a_run(seed, task, optimizer=Adam(0.01), length=length)

    expected = [list(make(seed).reports()) for seed in (0, 2)]
    found = [[], [], []]
    for index, report in train_together([make(seed) for seed in range(3)]):
        found[index].append(report)
    assert isinstance(found[1][-1], RuntimeError)
    assert same(found[0], expected[0]) and same(found[2], expected[1])


def test_a_task_that_scores_nothing_is_told():
    class Silent(Recall):
        def sample(self, batch_size, *, rng):
            batch = super().sample(batch_size, rng=rng)
            batch.mask = np.zeros_like(batch.mask)
            return batch

    runs = [a_run(seed, Recall(eval_sequences=5), optimizer=SGD(0.1)) for seed in range(2)]
    stack = StackedTrainer([run.trainer for run in runs])
    for run in runs:
        run.trainer.data.task = Silent(eval_sequences=5)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="scored no step"):
        patch.setattr("rnnexp.training.stacked.UNSCORED_WINDOWS", 3)
        stack.update()


def test_reports_are_plain_records():
    report = next(iter(a_run(0, Recall(eval_sequences=3), optimizer=SGD(0.1)).reports()))
    assert astuple(report)[0] == 0
