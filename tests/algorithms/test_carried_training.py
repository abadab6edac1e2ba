"""Rules that carry the influence forward in training: what an old influence means, what is skipped, what is kept."""

import numpy as np
import pytest
from rules import V, network_of

from rnnexp.algorithms import RFLO, RTRL, UORO, SnAp, TruncatedBPTT
from rnnexp.algorithms.step_derivatives import ByFormula
from rnnexp.build import ignored_window
from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import Parameters
from rnnexp.tasks import Batch, Echo, EpisodeTask
from rnnexp.training import SGD, AdamW, NormClipping, Omega, WeightDecay, train, train_together

LEAK, RATE = 0.4, 0.3


class Scattered(EpisodeTask):
    """Random tokens and classes; some steps are scored, in some sequences."""

    input_kind, target_kind, scored = "tokens", "classes", "some steps"
    input_size = output_size = V

    def __init__(self):
        super().__init__(eval_sequences=3)
        self.drawn = []

    @property
    def baseline(self):
        raise NotImplementedError

    def sample(self, batch_size, *, rng):
        inputs, targets = rng.integers(V, size=(2, 6, batch_size))
        mask = rng.random((6, batch_size)) < 0.5
        mask[[0, 3]] = False
        mask[4, 0] = True
        self.drawn.append(Batch(inputs, targets, mask))
        return self.drawn[-1]


def by_the_book(network, batches, keep, onward, *, updates, stride):
    """The parameters after some updates, in loops: J = keep * (onward(D) J + M), SGD at every `stride` steps scored."""
    values, sizes = network.parameters.values, network.parameters.shapes
    Wx, Wh, b, W, c = (values[name] for name in sizes)
    hidden, made = len(b), 0
    for batch in batches:
        h, J = np.zeros((batch.mask.shape[1], hidden)), np.zeros((batch.mask.shape[1], hidden, count_of(sizes)))
        total = Parameters(sizes, dtype=float)
        for t, (tokens, targets, mask) in enumerate(zip(batch.inputs, batch.targets, batch.mask, strict=True)):
            x = np.eye(V)[tokens]
            f, before = np.tanh(x @ Wx + h @ Wh + b), h
            h = (1 - LEAK) * before + LEAK * f
            for n in range(len(h)):
                slope = LEAK * (1 - f[n] ** 2)
                D = (1 - LEAK) * np.eye(hidden) + slope[:, np.newaxis] * Wh.T
                M = np.concatenate(
                    [
                        np.einsum("i,j,kj->kij", one, slope, np.eye(hidden)).reshape(hidden, -1)
                        for one in (x[n], before[n])
                    ]
                    + [np.diag(slope)],
                    axis=1,
                )
                J[n] = keep * (onward(D) @ J[n] + M)
            logits = h @ W + c
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            error = (p - np.eye(V)[targets]) * mask[:, np.newaxis]
            own = np.einsum("nk,nkp->p", error @ W.T, J)
            total.vector += np.concatenate([own, (h.T @ error).ravel(), error.sum(axis=0)])
            start = t - t % stride
            if ((t + 1) % stride and t + 1 < len(batch.mask)) or not batch.mask[start : t + 1].any():
                continue
            network.parameters.vector[...] -= RATE * total.vector / batch.mask[start : t + 1].sum()
            total.vector[...] = 0.0
            made += 1
            if made == updates:
                return network.parameters.vector
    raise AssertionError("too few batches")


def count_of(shapes):
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if not name.startswith("output."))


OWN = np.tile(np.eye(4), (1, V + 4 + 1))
DEFINITIONS = {
    "rtrl": (RTRL, np.ones_like(OWN), lambda D: D),
    "snap": (SnAp, OWN, lambda D: D),
    "rflo": (RFLO, OWN, lambda D: (1 - LEAK) * np.eye(len(D))),
}


@pytest.mark.parametrize("stride", [1, 4, 10])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_updates_while_the_influence_is_old_are_the_rules_own_definition(name, stride):
    rule, keep, onward = DEFINITIONS[name]
    network, slow = (network_of("leaky", "one-hot", cell_options={"leak": LEAK}) for _ in range(2))
    task, before = Scattered(), network.parameters.vector.copy()
    settings = {"steps": 9, "rng": np.random.default_rng(0), "batch_size": 3, "algorithm": rule(stride=stride)}
    reports = list(train(network, task, optimizer=SGD(RATE), **settings))
    assert len(reports) == 10 and len(task.drawn) >= 2
    expected = by_the_book(slow, task.drawn, keep, onward, updates=9, stride=stride)
    assert np.abs(network.parameters.vector - expected).max() < 1e-13
    assert np.abs(network.parameters.vector - before).max() > 0.01


def test_without_updates_on_the_way_an_episode_is_bptt_whole():
    vectors = []
    for algorithm in (TruncatedBPTT(None), RTRL(stride=100)):
        network = network_of("lstm", "two layers")
        settings = {"steps": 4, "rng": np.random.default_rng(0), "batch_size": 3, "algorithm": algorithm}
        list(train(network, Scattered(), optimizer=SGD(RATE), **settings))
        vectors.append(network.parameters.vector)
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-13


def test_a_stream_has_no_end_and_needs_no_window():
    network, task = network_of("gru", input_size=2, output_size=2), Echo(lag=2, eval_streams=2, eval_steps=20)
    reports = list(train(network, task, optimizer=SGD(0.1), steps=20, rng=np.random.default_rng(0), algorithm=RTRL()))
    assert [report.step for report in reports] == list(range(21))
    with pytest.raises(InvalidValue, match="bptt_length"):
        next(
            train(network, task, optimizer=SGD(), steps=2, rng=np.random.default_rng(0), algorithm=TruncatedBPTT(None))
        )


def test_a_rule_of_ones_own_has_to_keep_the_shape_of_the_influence():
    class Summed(SnAp):
        def carried(self, network, blocks, onward, before):
            return before.sum(axis=1)

    given = {"steps": 2, "rng": np.random.default_rng(0), "batch_size": 3, "algorithm": Summed()}
    with pytest.raises(UserError, match=r"Summed\.carried returned .* and what it was given is"):
        list(train(network_of("rnn"), Scattered(), optimizer=SGD(RATE), **given))


@pytest.mark.parametrize("rule", [RTRL, SnAp, UORO, RFLO])
def test_what_is_frozen_stays_and_clipping_and_penalties_apply(rule):
    options = {"freeze": ["recurrent.Wx"], "keep_zeros": "recurrent.Wh", "cell_options": {"leak": 0.5}}
    network = network_of("leaky", "one layer", **options)
    network.parameters.values["recurrent.Wh"][0] = 0.0
    before = {name: value.copy() for name, value in network.parameters.values.items()}
    settings = {"steps": 12, "rng": np.random.default_rng(0), "batch_size": 3, "algorithm": rule()}
    parts = {"optimizer": SGD(0.3), "clipping": NormClipping(0.05), "regularizer": WeightDecay(0.1)}
    reports = list(train(network, Scattered(), **settings, **parts))[1:]
    assert any(report.clipped for report in reports) and all(report.penalty > 0 for report in reports)
    assert max(report.clipped_norm for report in reports) < 0.0500001
    changed = {name: not np.array_equal(value, before[name]) for name, value in network.parameters.values.items()}
    assert not changed.pop("recurrent.Wx") and all(changed.values())
    assert not network.parameters.values["recurrent.Wh"][0].any()


def test_its_study_compares_with_the_full_gradient_and_disturbs_nothing():
    vectors = []
    for studied in (False, True):
        network, task, rule = network_of("rnn", "one layer"), Scattered(), UORO()
        run = train(network, task, optimizer=SGD(0.1), steps=8, rng=np.random.default_rng(0), algorithm=rule)
        for report in run.reports():
            if studied and report.step:
                held = task.sample(3, rng=np.random.default_rng(9))
                rule.gradient(network.replica(), held, "classes", rng=np.random.default_rng(1))
        vectors.append(network.parameters.vector)
    assert np.array_equal(*vectors)


def test_a_penalty_on_the_way_back_is_refused():
    settings = {"optimizer": SGD(), "steps": 2, "rng": np.random.default_rng(0), "algorithm": RTRL()}
    with pytest.raises(UserError, match="needs a gradient that goes back through time"):
        train(network_of("rnn", "one layer"), Scattered(), regularizer=Omega(), **settings)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "own"])
def test_rflo_without_a_leak_is_refused_and_says_what_it_would_be(cell):
    settings = {"optimizer": SGD(), "steps": 2, "rng": np.random.default_rng(0), "algorithm": RFLO()}
    with pytest.raises(InvalidValue, match=r"has no leak, got rflo\n.*algorithm=bptt bptt_length=1 bptt_stride=1"):
        train(network_of(cell, "one layer"), Scattered(), **settings)


@pytest.mark.parametrize("order", [0, -1, 1.5, None, "a", True])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(InvalidValue, match="order must be a whole number >= 1"):
        SnAp(order)


@pytest.mark.parametrize("rule", [RTRL, SnAp, UORO, RFLO])
def test_a_stride_is_a_whole_number(rule):
    assert rule().stride == rule(stride=None).stride == 1
    with pytest.raises(InvalidValue, match="bptt_stride must be a whole number >= 1"):
        rule(stride=0)


def test_rflo_needs_no_jacobian_after_the_first_step(monkeypatch):
    network = network_of("leaky", "values", cell_options={"leak": 0.5}, learn_initial_state=True)
    rule, inputs, taken = RFLO(), np.random.default_rng(0).standard_normal((6, 2, V)), []
    rule.begin(network, None, rng=np.random.default_rng(0))
    onward = ByFormula.onward.func

    def watched(step):
        taken.append(step.first)
        return onward(step)

    monkeypatch.setattr(ByFormula, "onward", property(watched))
    network.forward(inputs)
    rule.advance(network, rng=np.random.default_rng(0))
    assert taken == [True]


@pytest.mark.parametrize("kind", ["one-hot", "two layers"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "leaky"])
def test_rules_never_go_back_through_a_cell_whose_derivatives_are_known(cell, kind, monkeypatch):
    network = network_of(cell, kind, cell_options={"leak": 0.5} if cell == "leaky" else {})
    for layer in network.recurrent.layers:
        monkeypatch.setattr(type(layer), "step_back", None)
    for make in (RTRL, lambda: SnAp(2), UORO):
        rule, rng = make(), np.random.default_rng(0)
        rule.begin(network, None, rng=rng)
        network.reset_state()
        network.forward(np.zeros((3, 2), int))
        rule.advance(network, rng=rng)
        assert all(np.isfinite(array).all() for array in rule.influence.values())


@pytest.mark.parametrize("make", [RTRL, lambda: SnAp(2), RFLO])
def test_an_influence_carried_through_updates_is_stale_and_one_of_unchanged_weights_is_not(make):
    found = {}
    for rate in (0.0, 1e-3, 0.3):
        options = {"cell_options": {"leak": 0.5}, "embedding_dim": 3, "learn_initial_state": True}
        network, task = network_of("leaky", input_size=2, output_size=2, **options), Echo(lag=2, eval_streams=2)
        settings = {"steps": 40, "rng": np.random.default_rng(0), "batch_size": 3, "algorithm": make()}
        settings |= {"study": lambda network: 0.0, "study_every": 20, "staleness_steps": 100}
        found[rate] = [
            report.influence_staleness for report in train(network, task, optimizer=SGD(rate or 1e-300), **settings)
        ]
    assert all(each[20] is not None and each[19] is None for each in found.values())
    assert found[0.0][20] < 1e-12 and found[0.0][40] < 1e-12
    assert 1e-12 < found[1e-3][40] < 0.1 * found[0.3][40]


def test_staleness_is_the_distance_to_the_influence_recomputed():
    network = network_of("gru", "one layer")
    inputs, rule = np.random.default_rng(0).integers(V, size=(5, 2)), RTRL()
    rule.begin(network, None, rng=np.random.default_rng(0))
    network.reset_state()
    network.forward(inputs)
    rule.advance(network, rng=np.random.default_rng(0))
    old = rule.influence["0"].copy()
    assert rule.staleness(network.replica(), inputs, None) < 1e-12
    network.parameters.vector[...] *= 1.1
    again = RTRL()
    again.begin(network, None, rng=np.random.default_rng(0))
    network.reset_state()
    network.forward(inputs)
    again.advance(network, rng=np.random.default_rng(0))
    new = again.influence["0"]
    expected = [np.linalg.norm(old[n] - new[n]) / np.linalg.norm(new[n]) for n in range(2)]
    assert rule.staleness(network.replica(), inputs, None) == pytest.approx(np.mean(expected), rel=1e-12)
    assert UORO().staleness(network.replica(), inputs, None) is None


@pytest.mark.parametrize("given", ["rtrl", RTRL, 3])
def test_what_is_no_algorithm_is_refused(given):
    with pytest.raises(InvalidValue, match="algorithm must be an Algorithm of rnnexp"):
        train(network_of(), Scattered(), optimizer=SGD(), steps=2, rng=np.random.default_rng(0), algorithm=given)


def test_zeros_stay_in_each_network_of_a_stack():
    def run(seed):
        network = network_of("lstm", seed=seed, keep_zeros="recurrent")
        network.parameters.values["recurrent.Wh"][:, seed] = 0.0
        data = np.random.default_rng(seed)
        return train(network, Scattered(), optimizer=AdamW(0.1), steps=5, rng=data, batch_size=3)

    alone, together = ([run(seed) for seed in range(3)] for _ in range(2))
    for each in alone:
        list(each.reports())
    list(train_together(together))
    for seed, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert one.trainer.network.parameters.vector.tobytes() == other.trainer.network.parameters.vector.tobytes()
        assert not one.trainer.network.parameters.values["recurrent.Wh"][:, seed].any()
    assert "Wh (4, 4, 4) zeros stay" in repr(alone[0].trainer.network)


def test_a_window_that_was_given_in_vain_is_told_in_one_line():
    def root(name, length):
        return {"bptt_length": length, "algorithm": {"_target_": f"rnnexp.algorithms.{name}"}}

    jobs = [root(name, length) for name in ("TruncatedBPTT", "RTRL", "UORO") for length in (5, 7)]
    assert ignored_window(jobs, {"bptt_length"}) == "bptt_length is ignored with RTRL, UORO: there is no window"
    assert ignored_window([root("RTRL", 5)], set()) != ""  # of a recipe
    assert ignored_window([root("SnAp", 20)], {"bptt_length"}) != ""
    silent = [root("TruncatedBPTT", 5), root("AdaptiveBPTT", 5), root("RTRL", None), root("SnAp", 20)]
    assert ignored_window(silent, set()) == ""
