"""A network that does not fit a task or a batch is told so in words, wherever the two meet."""

import numpy as np
import pytest

import rnnexp
from rnnexp import gradients
from rnnexp.checks import InvalidValue
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Batch, Echo, Recall, Sine


def network_for(task):
    return build_network(task, hidden_size=3, rng=np.random.default_rng(0))


RECALL, ECHO, SINE, ADDING = Recall(lag=2, eval_sequences=5), Echo(eval_steps=9), Sine(eval_steps=9), Adding(length=5)
TASKS = {type(task).__name__: task for task in (RECALL, ECHO, SINE, ADDING)}
HELD_OUT = {name: task.evaluation(rng=np.random.default_rng(0)) for name, task in TASKS.items()}
IN_WORDS = {
    "Recall": "7 tokens in, 4 out",
    "Echo": "2 tokens in, 2 out",
    "Sine": "1 value in, 1 out",
    "Adding": "2 values in, 1 out",
}

#: Everything that takes a network, a batch and the kind of its targets.
LOOKS = {
    "evaluate": rnnexp.evaluate,
    "norms_by_lag": rnnexp.norms_by_lag,
    "total_norms_by_time": gradients.total_norms_by_time,
    "truncation_bias": lambda *given: rnnexp.truncation_bias(*given, length=2),
    "full_gradient": gradients.full_gradient,
    "windowed_gradient": lambda net, batch, kind: gradients.windowed_gradient(
        net, batch, kind, gradients.fixed_windows(len(batch.inputs), 2)
    ),
    "gradient_by_lag": gradients.gradient_by_lag,
    "GradientStudy": lambda *given: rnnexp.GradientStudy()(*given),
    "lyapunov": lambda net, batch, kind: rnnexp.lyapunov(net, batch, 1),
    "saturation": lambda net, batch, kind: gradients.saturation(net, batch),
    "step_jacobians": lambda net, batch, kind: gradients.step_jacobians(net, batch),
}
UNSCORED = ("lyapunov", "saturation", "step_jacobians")


@pytest.mark.parametrize("made_for", TASKS)
@pytest.mark.parametrize("task", TASKS)
def test_training_says_which_task_a_network_is_not_for(task, made_for):
    start = {
        "optimizer": rnnexp.SGD(),
        "steps": 1,
        "algorithm": rnnexp.TruncatedBPTT(2),
        "rng": np.random.default_rng(0),
    }
    network = network_for(TASKS[made_for])
    before = network.parameters.vector.copy()
    if task == made_for:
        assert len(list(rnnexp.train(network, TASKS[task], **start))) == 2
        return
    with pytest.raises(InvalidValue) as error:
        rnnexp.train(network, TASKS[task], **start)
    needed, has = IN_WORDS[task], IN_WORDS[made_for]
    assert str(error.value) == (
        f"network must be made for the task {task} ({needed}), got {has}\n"
        "build_network(task, hidden_size=10, rng=...) takes kind and sizes from the task"
    )
    np.testing.assert_array_equal(network.parameters.vector, before)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(("task", "made_for"), [("Recall", "Echo"), ("Recall", "Sine"), ("Sine", "Recall")])
def test_every_look_at_a_network_says_that_a_batch_is_not_for_it(look, task, made_for):
    with pytest.raises(InvalidValue) as error:
        LOOKS[look](network_for(TASKS[made_for]), HELD_OUT[task], TASKS[task].target_kind)
    allowed = {"Echo": "tokens (T, N) from 0 to 1", "Sine": "values (T, N, 1)", "Recall": "tokens (T, N) from 0 to 6"}
    batch = HELD_OUT[task].inputs
    assert error.value.problem.startswith(f"batch.inputs must be {allowed[made_for]} for this network, got ")
    assert error.value.problem.endswith(f" {batch.shape} from {batch.min():g} to {batch.max():g}")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("task", TASKS)
def test_a_batch_of_the_networks_own_task_passes(look, task):
    LOOKS[look](network_for(TASKS[task]), HELD_OUT[task], TASKS[task].target_kind)


@pytest.mark.parametrize("look", [name for name in LOOKS if name not in UNSCORED])
def test_targets_that_do_not_fit_are_told_in_words(look):
    network, batch = network_for(RECALL), HELD_OUT["Recall"]
    with pytest.raises(InvalidValue, match="target_kind must be one of classes, values, got class") as error:
        LOOKS[look](network, batch, "class")
    assert error.value.hint == "did you mean 'classes'?"
    with pytest.raises(InvalidValue, match=r"batch.targets must be values \(T, N, 4\) for this network, got int64"):
        LOOKS[look](network, batch, "values")
    beyond = Batch(batch.inputs, np.where(batch.mask, 4, batch.targets), batch.mask)
    with pytest.raises(InvalidValue, match=r"batch.targets must be classes \(T, N\) from 0 to 3 .* to 4\n"):
        LOOKS[look](network, beyond, "classes")
    # What stands at unscored steps has no meaning.
    LOOKS[look](network, Batch(batch.inputs, np.where(batch.mask, batch.targets, 99), batch.mask), "classes")


def test_an_evaluation_set_of_another_task_is_refused_before_training():
    with pytest.raises(InvalidValue, match=r"batch.inputs must be tokens \(T, N\) from 0 to 6"):
        rnnexp.train(
            network_for(RECALL),
            RECALL,
            optimizer=rnnexp.SGD(),
            steps=1,
            rng=np.random.default_rng(0),
            evaluate_on=HELD_OUT["Sine"],
        )


def test_what_is_no_network_is_refused():
    start = {"optimizer": rnnexp.SGD(), "steps": 1, "rng": np.random.default_rng(0)}
    with pytest.raises(InvalidValue, match="network must be a Network, got Recall"):
        rnnexp.train(RECALL, network_for(RECALL), **start)
    with pytest.raises(InvalidValue, match="network must be a Network, got null"):
        rnnexp.evaluate(None, HELD_OUT["Recall"], "classes")
    with pytest.raises(InvalidValue, match="task must be a task"):
        rnnexp.train(network_for(RECALL), Recall, **start)


def test_values_given_to_a_network_of_tokens_are_told_in_words_by_its_layer_too():
    for options in ({}, {"embedding_dim": 2}):
        network = build_network(RECALL, hidden_size=3, rng=np.random.default_rng(0), **options)
        with pytest.raises(TypeError, match="tokens must be whole numbers from 0 to 6, got an array of float64"):
            network.forward(HELD_OUT["Sine"].inputs)
        with pytest.raises(IndexError, match="tokens must be from 0 to 6, got 7 to 7"):
            network.forward(np.full((2, 1), 7))
