import numpy as np
import pytest

from rnnexp.tasks import Adding, Batch, Echo, Recall
from rnnexp.training import Evaluation, evaluate
from rnnexp.training.evaluation import scored_steps


@pytest.fixture
def masked(every_step):
    """250 steps of 6 sequences: some windows scored in part, the middle hundred nowhere."""
    task = every_step(length=250)
    batch = task.sample(6, rng=np.random.default_rng(0))
    mask = np.random.default_rng(1).random((250, 6)) < 0.3
    mask[90:210] = False
    return task, Batch(batch.inputs, batch.targets, mask)


def one_pass(own, batch):
    """Loss and accuracy from one run over the whole sequences."""
    _, _, outputs = own.run(batch.inputs)
    loss = own.losses(batch)[batch.mask].mean()
    if batch.targets.dtype.kind == "f":
        return loss, None
    return loss, (outputs.argmax(axis=-1) == batch.targets)[batch.mask].mean()


def test_the_result_is_that_of_one_pass_over_the_whole_sequences(masked, network_for, reference):
    task, batch = masked
    loss, accuracy = one_pass(reference(network_for(task)), batch)
    result = evaluate(network_for(task), batch, "classes")
    assert result.loss == pytest.approx(loss, rel=1e-12)
    assert result.accuracy == pytest.approx(accuracy, rel=1e-15)
    assert 0 < result.accuracy < 1


@pytest.mark.parametrize("task", [Recall(3, eval_sequences=30), Echo(eval_streams=3, eval_steps=230), Adding(length=7)])
def test_the_tasks_own_evaluation_sets(task, network_for, reference):
    batch = task.evaluation(rng=np.random.default_rng(2))
    loss, accuracy = one_pass(reference(network_for(task)), batch)
    result = evaluate(network_for(task), batch, task.target_kind)
    off = result.absolute_error
    assert (off is None) == (task.target_kind == "classes")
    assert result == Evaluation(
        pytest.approx(loss, rel=1e-12), accuracy and pytest.approx(accuracy, rel=1e-12), absolute_error=off
    )


@pytest.mark.parametrize("window", [1, 7, 90, 249, 250, 1000])
def test_the_result_does_not_depend_on_the_window(masked, network_for, monkeypatch, window):
    task, batch = masked
    expected = evaluate(network_for(task), batch, "classes")
    monkeypatch.setattr("rnnexp.memory.EVALUATED", window)
    seen = []
    network = network_for(task)
    forward = network.forward
    network.forward = lambda inputs, **settings: seen.append(len(inputs)) or forward(inputs, **settings)
    result = evaluate(network, batch, "classes")
    assert max(seen) == min(window, 250)
    assert sum(seen) == 250
    assert result.loss == pytest.approx(expected.loss, rel=1e-13)
    assert result.accuracy == expected.accuracy


def test_targets_outside_the_mask_do_not_count(masked, network_for):
    task, batch = masked
    relabelled = np.where(batch.mask, batch.targets, (batch.targets + 1) % task.output_size)
    other = evaluate(network_for(task), Batch(batch.inputs, relabelled, batch.mask), "classes")
    assert other == evaluate(network_for(task), batch, "classes")


def test_sequences_begin_from_a_zero_state_and_leave_none_behind(masked, network_for):
    task, batch = masked
    network = network_for(task)
    expected = evaluate(network, batch, "classes")
    assert network.recurrent.h is None
    network.recurrent.set_state(np.full((6, 4), 0.9))
    assert evaluate(network, batch, "classes") == expected
    network.forward(batch.inputs[:5, :2])  # another batch size in between
    assert evaluate(network, batch, "classes") == expected


def test_a_replica_leaves_the_training_network_alone(every_step, network_for):
    task = every_step(length=8)
    first, second = (task.sample(3, rng=np.random.default_rng(seed)) for seed in (0, 1))
    plain, evaluated = network_for(task), network_for(task)
    for network in (plain, evaluated):
        network.forward(first.inputs)
        network.backward(np.full((8, 3, 3), 0.1))
    state, gradient = evaluated.recurrent.h.copy(), evaluated.parameters.gradient.copy()
    evaluate(evaluated.replica(), task.sample(7, rng=np.random.default_rng(2)), "classes")
    assert np.array_equal(evaluated.recurrent.h, state)
    assert np.array_equal(evaluated.parameters.gradient, gradient)
    assert np.array_equal(evaluated.parameters.vector, plain.parameters.vector)
    assert np.array_equal(evaluated.forward(second.inputs), plain.forward(second.inputs))


def test_a_replica_is_evaluated_with_the_weights_as_they_are_now(masked, network_for):
    task, batch = masked
    network = network_for(task)
    replica = network.replica()
    before = evaluate(replica, batch, "classes")
    network.parameters.vector *= 0.5
    after = evaluate(replica, batch, "classes")
    assert after != before
    assert after == evaluate(network, batch, "classes")


def test_a_network_that_knows_the_answer_is_always_right(every_step, network_for):
    task = every_step(length=20)
    inputs = np.random.default_rng(0).integers(5, size=(20, 4))
    network = network_for(task)
    network.parameters.vector[...] = 0.0
    network.parameters.values["output.b"][...] = [0.0, 1.0, 0.5]
    for answer, accuracy in ((1, 1.0), (2, 0.0)):
        batch = Batch(inputs, np.full((20, 4), answer), np.ones((20, 4), bool))
        assert evaluate(network, batch, "classes").accuracy == accuracy


def test_scored_steps_are_all_or_those_that_any_sequence_scores():
    mask = np.array([[False, True], [False, False], [True, True]])
    assert scored_steps(mask).tolist() == [0, 2]
    assert scored_steps(mask[::2]) == slice(None)
    assert len(scored_steps(np.zeros((3, 2), bool))) == 0
