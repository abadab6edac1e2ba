"""What is frozen keeps its bits through training, whatever the optimizer does; what is not, is trained."""

import numpy as np
import pytest
from training_cases import CELLS, by_name, every_cell, trained

from rnnexp.algorithms import RandomizedBPTT, TruncatedBPTT
from rnnexp.layers import TimeGRU, TimeLSTM
from rnnexp.tasks import Echo, Recall
from rnnexp.training import SGD, AdamW, Omega, WeightDecay

FREEZE = {
    "one matrix": ({}, "recurrent.Wh", ["recurrent.Wh"]),
    "the embedding": ({}, "embedding", ["embedding.W"]),
    "all but the output": ({}, ["embedding", "recurrent"], None),
    "a layer of two": (CELLS["two layers"], ["recurrent.1"], None),
    "initial states": (CELLS["two layers"], ["recurrent.1.h0", "recurrent.2.h0"], None),
    "gates": ({"cell": TimeLSTM}, ["recurrent.Wh", "output.b"], ["recurrent.Wh", "output.b"]),
    "a candidate's bias": ({"cell": TimeGRU}, "recurrent.bn", ["recurrent.bn"]),
}


def kept(network):
    return {name: value.copy() for name, value in network.parameters.values.items()}


def same_bits(before, network):
    """Names of the parameters that have not changed at all."""
    values = network.parameters.values
    return {name for name, value in before.items() if value.tobytes() == values[name].tobytes()}


@pytest.mark.parametrize(("settings", "freeze", "names"), FREEZE.values(), ids=FREEZE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("regularizer", [None, WeightDecay(0.1)], ids=["alone", "regularized"])
def test_frozen_parameters_keep_their_bits_through_updates_with_decay(
    every_step, network_for, settings, freeze, names, dtype, regularizer
):
    task = every_step(length=6)
    network = network_for(task, freeze=freeze, dtype=dtype, **settings)
    before = kept(network)
    trained(network, task, AdamW(0.05, weight_decay=0.3), 8, algorithm=TruncatedBPTT(3), regularizer=regularizer)
    wanted = [freeze] if isinstance(freeze, str) else freeze
    frozen = {name for name in before if any(name == entry or name.startswith(f"{entry}.") for entry in wanted)}
    assert same_bits(before, network) == frozen
    assert frozen == set(network.design.frozen)
    assert names is None or set(names) == frozen


@pytest.mark.parametrize("algorithm", [RandomizedBPTT(3), TruncatedBPTT(4, 2)], ids=["randomized", "overlapping"])
def test_they_do_whatever_the_windows_and_with_omega(every_step, network_for, algorithm):
    task = every_step(length=8)
    network = network_for(task, freeze=["recurrent.Wh", "output"])
    before = kept(network)
    trained(network, task, AdamW(0.05, weight_decay=0.3), 8, algorithm=algorithm, regularizer=Omega())
    assert same_bits(before, network) == {"recurrent.Wh", "output.W", "output.b"}


@every_cell
def test_without_freezing_every_parameter_is_trained(every_step, network_for, cell):
    task = every_step(length=6)
    network = network_for(task, **cell)
    before = kept(network)
    trained(network, task, SGD(0.1), 3)
    assert same_bits(before, network) == set()


@every_cell
def test_the_gradient_of_what_is_frozen_is_zero_and_the_rest_as_without(every_step, network_for, frozen, cell):
    gradients = []
    for freeze in ([], ["output.W", "embedding"]):
        task, optimizer = every_step(length=6), frozen()
        network = network_for(task, freeze=freeze, **cell)
        trained(network, task, optimizer, 3, algorithm=TruncatedBPTT(4, 2))
        gradients.append([by_name(network, gradient) for gradient in optimizer.gradients])
    for free, partly in zip(*gradients, strict=True):
        for name, gradient in partly.items():
            expected = 0.0 if name in ("output.W", "embedding.W") else free[name]
            np.testing.assert_array_equal(gradient, np.broadcast_to(expected, gradient.shape), err_msg=name)


def test_a_studied_update_did_not_move_what_is_frozen(every_step, network_for):
    task = every_step(length=6)
    network = network_for(task, freeze="recurrent.Wh")
    network.parameters.values["recurrent.b"][...] = 0.1
    reports = trained(network, task, AdamW(0.05, weight_decay=0.3), 2, study=lambda _: None, study_every=1)
    for report in reports:
        ratios = report.update_ratios
        assert ratios["recurrent.Wh"] == 0.0
        assert all(ratio > 0 for name, ratio in ratios.items() if name != "recurrent.Wh")


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    "algorithm", [TruncatedBPTT(None), TruncatedBPTT(3), RandomizedBPTT(3)], ids=["whole", "3", "random"]
)
def test_a_learned_initial_state_is_trained_from_the_start_of_episodes(every_step, network_for, name, algorithm):
    task = every_step(length=6)
    network = network_for(task, **{**CELLS[name], "learn_initial_state": True})
    before = kept(network)
    starts = {parameter for parameter in before if parameter[-1] == "0"}
    assert len(starts) == (1 if name in ("rnn", "gru") else 2)
    trained(network, task, SGD(0.1), 6, algorithm=algorithm)
    assert not starts & same_bits(before, network)


@pytest.mark.parametrize("name", CELLS)
def test_a_streams_initial_state_is_trained_once(network_for, name):
    task, path = Echo(lag=2), []
    network = network_for(task, **{**CELLS[name], "learn_initial_state": True})

    class Noting(SGD):
        def update(self, vector, gradient):
            super().update(vector, gradient)
            path.append({key: value.copy() for key, value in network.parameters.values.items() if key[-1] == "0"})

    start = kept(network)
    trained(network, task, Noting(0.1), 4, algorithm=TruncatedBPTT(4))
    for key, value in path[0].items():
        assert not np.array_equal(value, start[key])
        assert all(np.array_equal(later[key], value) for later in path[1:])


def test_an_episode_whose_start_is_out_of_reach_does_not_train_the_initial_state(network_for):
    task = Recall(3, lag=5)
    network = network_for(task, learn_initial_state=True)
    network.parameters.values["recurrent.h0"][...] = 0.3
    before = kept(network)
    trained(network, task, SGD(0.1), 3, algorithm=TruncatedBPTT(5, 1))
    assert same_bits(before, network) == {"recurrent.h0"}
    trained(network, task, SGD(0.1), 3, algorithm=TruncatedBPTT(6, 1))
    assert same_bits(before, network) == set()
