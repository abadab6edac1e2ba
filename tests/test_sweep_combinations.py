"""The jobs of a sweep before they run."""

import copy

import pytest
from compositions import composing, loader, plain_master
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from rnnexp.checks import InvalidValue, UserError
from rnnexp.sweeps import composition as module
from rnnexp.sweeps.composition import (
    check_all,
    check_count,
    known_jobs,
    parsed,
    swept_keys,
)


@pytest.fixture(scope="module", autouse=True)
def hydra_here():
    with composing():
        yield
    module._composers.clear()


def sweep_of(*arguments):
    """What `master` composes, as far as the jobs are concerned, without composing it."""
    config = copy.deepcopy(plain_master())
    config.hydra.overrides.task = list(arguments)
    return config


def jobs_of(*arguments):
    count, jobs = known_jobs(sweep_of(*arguments))
    jobs = list(jobs)
    assert len(jobs) == count
    return jobs


def test_the_last_axis_changes_fastest():
    assert jobs_of("hidden_size=4,6", "steps=3", "seed=0,1") == [
        [f"hidden_size={size}", "steps=3", f"seed={seed}"] for size in (4, 6) for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("arguments", "jobs"),
    [
        (["seed=range(0,3)"], [["seed=0"], ["seed=1"], ["seed=2"]]),
        (["seed=choice(4,2)"], [["seed=4"], ["seed=2"]]),
        (["seed=glob(x*)"], None),
        (["cell=rnn,lstm"], [["cell=rnn"], ["cell=lstm"]]),
        (["cell=glob(*,exclude=r*)"], [["cell=gru"], ["cell=leaky"], ["cell=lstm"]]),
        (["freeze=[embedding],null"], [["freeze=[embedding]"], ["freeze=null"]]),
        (["+new=1,2"], [["+new=1"], ["+new=2"]]),
        (["seed=0,1", "seed=5"], [["seed=5"]]),
        (["seed=5", "cell=rnn", "seed=0,1"], [["seed=0", "cell=rnn"], ["seed=1", "cell=rnn"]]),
        (["seed=0"], [["seed=0"]]),
        ([], [[]]),
        (["seed=sort(3,1,2)"], [["seed=1"], ["seed=2"], ["seed=3"]]),
        (["run_name='a,b','c'"], [["run_name='a,b'"], ["run_name='c'"]]),
    ],
    ids=str,
)
def test_the_jobs_are_those_of_hydras_sweeper(arguments, jobs):
    config = sweep_of(*arguments)
    if jobs is None:
        with pytest.raises(UserError):
            known_jobs(config)
        return
    assert jobs_of(*arguments) == jobs
    overrides = OverridesParser.create(config_loader=loader()).parse_overrides(arguments)
    assert BasicSweeper.split_arguments(overrides, None) == [jobs]


def test_values_that_the_sweepers_settings_add():
    config = sweep_of("seed=0,1")
    config.hydra.sweeper.params = {"hidden_size": "4,5", "seed": "7,8"}  # as a file of one's own would
    count, jobs = known_jobs(config)
    assert count == 4
    assert next(jobs) == ["hidden_size=4", "seed=0"]
    assert swept_keys(config) == ["hidden_size", "seed"]


def test_what_differs():
    config = sweep_of("hidden_size=4,6", "steps=3", "+new=1,2", "seed=range(2)")
    assert swept_keys(config) == ["hidden_size", "new", "seed"]
    assert swept_keys(sweep_of("initializer@init.recurrent=identity,orthogonal")) == ["initializer@init.recurrent"]
    assert swept_keys(sweep_of("steps=3")) == []


def test_each_key_is_there_once():
    assert [str(item.input_line) for item in parsed(sweep_of("seed=1", "steps=3", "seed=2"))] == ["seed=2", "steps=3"]


def test_a_range_of_real_numbers_needs_another_sweeper():
    with pytest.raises(InvalidValue) as told:
        known_jobs(sweep_of("optimizer.learning_rate=interval(0,1)"))
    assert "hydra/sweeper=optuna" in str(told.value)


def test_no_value_is_refused():
    with pytest.raises(InvalidValue, match="seed must be at least one value"):
        known_jobs(sweep_of("seed=range(5,5)"))


def test_a_large_number_of_jobs_is_counted_without_making_them():
    count, _ = known_jobs(sweep_of("seed=range(0,10000)", "batch_size=range(1,10001)"))
    assert count == 100_000_000


def test_too_many_jobs():
    check_count(1000, 1000)
    with pytest.raises(UserError) as told:
        check_count(1001, 1000)
    assert "1001" in str(told.value) and "max_jobs=1001" in told.value.hint


def test_every_job_is_checked_and_the_first_bad_one_told():
    config = sweep_of("hidden_size=4,0", "seed=0,1")
    with pytest.raises(InvalidValue) as told:
        check_all(config, known_jobs(config)[1])
    assert told.value.key == "hidden_size"
    assert "in the job hidden_size=0 seed=0" in told.value.hint


def test_a_bad_seed_is_found_among_good_ones():
    config = sweep_of("seed=0,1,-1")
    with pytest.raises(InvalidValue, match="seed"):
        check_all(config, known_jobs(config)[1])


def test_jobs_that_differ_in_their_seed_only_are_built_once(monkeypatch):
    import rnnexp.build

    built = []
    build = rnnexp.build.build_experiment
    monkeypatch.setattr(
        rnnexp.build, "build_experiment", lambda settings, *given: built.append(settings) or build(settings)
    )
    config = sweep_of("hidden_size=4,5", "seed=range(20)")
    check_all(config, known_jobs(config)[1])
    assert [settings["hidden_size"] for settings in built] == [4, 5]
