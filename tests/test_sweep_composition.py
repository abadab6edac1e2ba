"""The jobs of a sweep as plain settings: most by analogy with one that Hydra has composed."""

from functools import cache

import pytest
from compositions import composing, master

from rnnexp.checks import InvalidValue
from rnnexp.sweeps.composition import Composer


@pytest.fixture(scope="module", autouse=True)
def hydra_here():
    with composing():
        yield
        master_of.cache_clear()


@cache
def master_of(arguments):
    return master("hydra.sweep.dir=here", *arguments)


@pytest.fixture
def composer(monkeypatch):
    """A composer of a multirun, and the jobs that Hydra composes for it."""

    def made(*arguments):
        composer, by_hydra = Composer(master_of(arguments)), []
        compose = composer.compose
        monkeypatch.setattr(composer, "compose", lambda job: by_hydra.append(list(job)) or compose(job))
        return composer, by_hydra

    return made


def types(value):
    """Of every value its type: 1, 1.0 and true are equal."""
    return {key: types(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value)


SWEEPS = {
    "values": ([f"seed={seed}", f"optimizer.learning_rate={rate}"] for rate in ("1", "0.5", "1e-3") for seed in "012"),
    "texts and null": ([f"run_name={name}", f"embedding_dim={dim}"] for name in ("a", "'b c'", "null") for dim in "23"),
    "choices": ([f"cell={cell}", "hidden_size=4", f"seed={s}"] for cell in ("rnn", "lstm", "rnn") for s in "012"),
    "of one choice": ([f"task={t}", *([f"task.lag={n}"] * (t == "echo"))] for t in ("echo", "parity") for n in "345"),
    "references": ([f"hidden_size={n}", "run_name=${hidden_size}"] for n in "3456"),
    "lists": ([f"freeze=[{name}]", "seed=1"] for name in ("embedding", "output", "recurrent")),
    "in a choice": (
        ["optimizer=adam", f"optimizer.learning_rate={r}", f"seed={s}"] for r in ("1", "0.5") for s in "012"
    ),
    "before a choice": (
        [f"cell.leak={leak}", "cell=leaky", f"tracking.figures={on}", "tracking=none"]
        for leak in ("0.5", "0.25", "1")
        for on in ("false", "true")
    ),
    "written over": (["+init.recurrent={gain:2}", f"init.recurrent.gain={gain}"] for gain in "345"),
}


@pytest.mark.parametrize("jobs", [pytest.param(list(jobs), id=name) for name, jobs in SWEEPS.items()])
def test_a_job_by_analogy_is_the_one_that_hydra_composes(composer, jobs):
    quick, _ = composer()
    for number, overrides in enumerate(jobs):
        alone, _ = composer()
        wanted, found = alone.job(overrides, number), quick.job(overrides, number)
        assert found == wanted
        assert types(found.settings) == types(wanted.settings)


def test_hydra_composes_few_of_many_jobs(composer):
    quick, by_hydra = composer()
    chosen = ["tracking=none", "tracking.figures=false"]
    jobs = [[f"cell={cell}", f"seed={seed}", *chosen] for seed in range(200) for cell in ("rnn", "gru")]
    for number, overrides in enumerate(jobs):
        assert quick.job(overrides, number).settings["seed"] == number // 2
    assert len(by_hydra) <= 4
    assert quick.composed(jobs) and not quick.composed([["seed=1000"]])


def test_folders_named_by_the_person_are_hydras(composer):
    quick, _ = composer("hydra.sweep.subdir=job-${hydra.job.num}-${seed}")
    assert [quick.job([f"seed={seed}"], seed).folder.name for seed in range(4)] == [f"job-{n}-{n}" for n in range(4)]


@pytest.mark.parametrize(("bad", "problem"), [("hidden_size=0", InvalidValue), ("hidden_size=wide", Exception)])
def test_a_value_is_refused_whichever_job_has_it(composer, bad, problem):
    quick, _ = composer()
    for number in range(4):
        quick.job([f"hidden_size={number + 1}"], number)
    with pytest.raises(problem) as found:
        quick.job([bad], 4)
    alone, _ = composer()
    with pytest.raises(problem) as expected:
        alone.job([bad], 4)
    assert str(found.value) == str(expected.value) and type(found.value) is type(expected.value)
