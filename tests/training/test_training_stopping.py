"""Training that ends before its planned steps: when, what is kept of it, and the same alone, stacked and resumed."""

from types import SimpleNamespace

import numpy as np
import pytest
from training_cases import same

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import build_network
from rnnexp.state import copied
from rnnexp.tasks import Adding, Echo, Recall, Text
from rnnexp.training import Adam, Cosine, NoStopping, Patience, Solved, Streams, evaluate, train, train_together
from rnnexp.training.checkpoint import load, save


def evaluated(step, loss):
    return SimpleNamespace(step=step, evaluation=SimpleNamespace(loss=loss))


def asked(rule, losses):
    """What a rule says after each evaluation, of which there is one every 10 updates."""
    return [rule(evaluated(10 * at, loss)) for at, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("settings", "losses", "stops"),
    [
        ({"evaluations": 2}, [1.0, 0.9, 0.95, 0.8, 0.81, 0.82], 5),
        ({"evaluations": 1}, [1.0, 1.0], 1),  # an equal loss is no lower one
        ({"evaluations": 3}, [1.0, 1.1, 1.2, 0.99, 1.0, 1.1], None),
        ({"evaluations": 2, "min_improvement": 0.1}, [1.0, 0.95, 0.91], 2),
        ({"evaluations": 2, "min_improvement": 0.1}, [1.0, 0.95, 0.89, 0.85, 0.78, 0.75], None),
    ],
)
def test_patience_counts_evaluations_without_a_lower_loss(settings, losses, stops):
    said = asked(Patience(**settings), losses)
    assert [at for at, reason in enumerate(said) if reason] == ([] if stops is None else [stops])


def test_patience_says_since_when():
    assert asked(Patience(2), [2.0, 1.0, 1.5, 1.5])[-1] == "no improvement in 2 evaluations since step 10"
    assert asked(Patience(1), [2.0, 2.5])[-1] == "no improvement in 1 evaluation since step 0"


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"evaluations": 0}, "evaluations"), ({"evaluations": 1.5}, "evaluations"), ({"min_improvement": -1}, "min_imp")],
)
def test_bad_numbers_are_refused(settings, key):
    with pytest.raises(InvalidValue, match=key):
        Patience(**settings)


def test_patience_goes_on_where_it_was():
    losses = [1.0, 0.9, 0.95, 0.96, 0.97]
    whole = asked(Patience(3), losses)
    for cut in range(len(losses)):
        first, second = Patience(3), Patience(3)
        said = asked(first, losses[:cut])
        second.restore(copied(first.state()))
        said += [second(evaluated(10 * at, loss)) for at, loss in list(enumerate(losses))[cut:]]
        assert said == whole
    with pytest.raises(UserError, match="stopping/waited"):
        Patience().restore({"best": 1.0, "best_step": 0, "waited": "long"})


def test_solved_is_the_rule_of_the_task_and_needs_one(tmp_path):
    task = Recall(lag=3)
    said = asked(Solved(task), [0.051, 0.049])
    assert said == ["", f"solved: {task.success}"]
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 9)
    with pytest.raises(InvalidValue) as caught:
        Solved(Text(path=str(tmp_path / "a.txt")))
    assert str(caught.value).splitlines() == [
        "stopping must be none or patience for task Text, which has no published rule, got solved",
        "try stopping=patience",
    ]


def a_run(seed=0, *, stopping=None, steps=60, rate=0.3, task=None, cut=4, **settings):
    """A run whose evaluation loss goes up and down."""
    streams, task = Streams(seed), task or Recall(lag=5, eval_sequences=20)
    network = build_network(
        hidden_size=5,
        embedding_dim=3,
        input_size=task.input_size,
        input_kind=task.input_kind,
        output_size=task.output_size,
        rng=streams.init,
    )
    return train(
        network,
        task,
        optimizer=Adam(rate),
        steps=steps,
        rng=streams.data,
        algorithm=TruncatedBPTT(cut),
        batch_size=4,
        evaluate_on=task.evaluation(rng=streams.evaluation),
        eval_every=5,
        stopping=stopping,
        **settings,
    )


def test_a_stopped_run_is_the_beginning_of_one_that_goes_on():
    whole, stopped = list(a_run().reports()), list(a_run(stopping=Patience(2)).reports())
    losses = [report.evaluation.loss for report in whole if report.evaluation]
    best = np.minimum.accumulate(losses)
    wanted = next(at for at in range(2, len(losses)) if losses[at] >= best[at - 2] and losses[at - 1] >= best[at - 2])
    assert 5 * wanted == stopped[-1].step < 60, "the losses go up and down"
    assert [report.stopped != "" for report in stopped] == [False] * (len(stopped) - 1) + [True]
    stopped[-1].stopped = ""
    assert same(stopped, whole[: len(stopped)])


def test_a_schedule_sees_the_planned_steps():
    settings = {"schedule": Cosine()}
    stopped = list(a_run(stopping=Patience(1), **settings).reports())
    whole = list(a_run(**settings).reports())
    assert stopped[-1].step < 60
    assert [r.learning_rate for r in stopped] == [r.learning_rate for r in whole[: len(stopped)]]


def test_the_last_weights_are_studied_when_training_stops():
    run = a_run(stopping=Patience(1), study=lambda network: "seen", study_every=50)
    reports = list(run.reports())
    assert [report.step for report in reports if report.study] == [0, reports[-1].step]
    assert reports[-1].step % 50


def test_a_rule_that_stops_before_the_first_update():
    run = a_run(stopping=lambda report: "enough")
    assert [(report.step, report.stopped) for report in run.reports()] == [(0, "enough")]
    again = a_run(stopping=lambda report: "enough")
    again.restore(run.state())
    assert list(again.reports()) == []


@pytest.mark.parametrize("task", [None, lambda: Echo(lag=6), lambda: Adding(length=5, eval_sequences=9)])
def test_the_best_weights_are_those_with_the_lowest_evaluation_loss(task):
    run = a_run(task=None if task is None else task(), rate=0.2)
    seen = []
    for report in run.reports():
        if report.evaluation:
            seen.append((report.evaluation.loss, report.step, run.trainer.network.parameters.vector.copy()))
    loss, step, vector = min(seen, key=lambda one: one[:2])
    assert (run.best.loss, run.best.step) == (loss, step) and step < 60
    assert run.best.parameters.tobytes() == vector.tobytes()
    task, last = run.trainer.data.task, seen[-1][2]
    unseen = task.test(rng=Streams(0).test)
    tested = run.evaluate_best(unseen)
    assert run.trainer.network.parameters.vector.tobytes() == last.tobytes(), "the final weights are still there"
    beside = run.trainer.network.replica()
    for evaluation, weights in zip(tested, (vector, last), strict=True):
        beside.parameters.vector[...] = weights
        assert evaluation == evaluate(beside, unseen.cast(np.float32), task.target_kind, task)
    assert tested[0] != tested[1]


def results(run):
    unseen = run.trainer.data.task.test(rng=Streams(3).test)
    return run.best.step, run.best.loss, run.best.parameters.tobytes(), run.stopped, run.evaluate_best(unseen)


RULES = {"none": NoStopping, "patience": lambda: Patience(2), "longer patience": lambda: Patience(4, 0.01)}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_networks_that_stop_leave_the_stack_and_the_others_go_on(rule):
    alone = [a_run(seed, stopping=rule()) for seed in range(5)]
    expected = [list(run.reports()) for run in alone]
    together, found = [a_run(seed, stopping=rule()) for seed in range(5)], [[] for _ in range(5)]
    for index, report in train_together(together):
        found[index].append(report)
    assert same(found, expected)
    assert [results(run) for run in together] == [results(run) for run in alone]
    if rule is not NoStopping:
        assert len({len(reports) for reports in found}) > 1, "they stop at different steps"
        state = copied(together[0].trainer.state()["parameters"])
        assert same(state, alone[0].trainer.state()["parameters"])


@pytest.mark.parametrize("at", [1, 5, 7, 9])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_resumed_run_stops_where_it_would_have_and_has_the_same_best_weights(rule, at, tmp_path):
    whole = a_run(stopping=rule())
    expected = list(whole.reports())
    first = a_run(stopping=rule())
    for report in first.reports():
        if report.step == at:
            save(tmp_path / "a.npz", first.state())
            break
    second = a_run(stopping=rule())
    second.restore(load(tmp_path / "a.npz"))
    assert same(list(second.reports()), expected[at + 1 :])
    assert results(second) == results(whole)


def test_a_run_that_has_stopped_makes_no_further_update_unless_its_rule_is_another():
    run = a_run(stopping=Patience(1))
    *_, last = run.reports()
    again = a_run(stopping=Patience(1))
    again.restore(run.state())
    assert list(again.reports()) == [] and again.stopped == last.stopped and results(again) == results(run)
    on = a_run()
    on.restore({**run.state(), "stopping": None})
    further = list(on.reports())
    assert [report.step for report in further] == list(range(last.step + 1, 61))
    assert same(further, list(a_run().reports())[last.step + 1 :])


@pytest.mark.parametrize("broken", ["best", "stopping", "trainer"])
def test_a_state_without_a_part_is_refused(broken):
    state = a_run().state()
    del state[broken]
    with pytest.raises(UserError, match=f"{broken} is missing"):
        a_run().restore(state)
