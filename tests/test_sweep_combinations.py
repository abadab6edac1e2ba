"""The jobs of a sweep before they run; the faster composition returns what Hydra's own does."""

import copy
import itertools
import time
from functools import cache

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from rnnexp.checks import InvalidValue, UserError
from rnnexp.command.check_first import register
from rnnexp.settings import check_root, conf_dir
from rnnexp.sweeps import composition as module
from rnnexp.sweeps.composition import (
    check_all,
    check_count,
    combinations,
    load_sweep_config,
    original_load,
    parsed,
    swept_keys,
)


@pytest.fixture(scope="module", autouse=True)
def hydra_here():
    setup_globals()
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield
    module._composers.clear()
    by_hydra.cache_clear()
    plain_master.cache_clear()


def loader():
    return GlobalHydra.instance().config_loader()


def master(*arguments):
    """The configuration of `python -m rnnexp -m arguments`."""
    config = loader().load_configuration("config", list(arguments), run_mode=RunMode.MULTIRUN)
    with open_dict(config.hydra):
        config.hydra.job.config_name = "config"
    return config


@cache
def plain_master():
    """That of `python -m rnnexp -m`, composed once."""
    return master()


@cache
def by_hydra(*overrides):
    """A job as Hydra composes it."""
    return original_load(loader(), plain_master(), list(overrides))


def flags(config):
    """Of every node below, whether it is open for new keys and whether it can be changed."""
    found = {}

    def walk(node, path):
        found[path] = (OmegaConf.is_struct(node), OmegaConf.is_readonly(node))
        for key in node:
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
                walk(child, f"{path}.{key}")

    walk(config, "")
    return found


def types(value, path=""):
    """Of every plain value, its type: 1, 1.0 and true are equal."""
    if isinstance(value, dict):
        return {name: kind for key, item in value.items() for name, kind in types(item, f"{path}.{key}").items()}
    return {path: type(value)}


def compared(overrides, config=None):
    """Compose a job both ways, compare, and return the faster one's."""
    expected = by_hydra(*overrides) if config is None else original_load(loader(), config, list(overrides))
    config = config or plain_master()
    found = load_sweep_config(loader(), config, list(overrides))
    plain, wanted = (OmegaConf.to_container(each, resolve=False) for each in (found, expected))
    assert plain == wanted
    assert types(plain) == types(wanted)
    assert list(plain) == list(wanted)
    assert list(found.hydra.overrides.task) == list(expected.hydra.overrides.task)
    assert list(found.hydra.overrides.hydra) == list(expected.hydra.overrides.hydra)
    assert found.hydra.job.override_dirname == expected.hydra.job.override_dirname
    assert flags(found) == flags(expected)
    task = [OmegaConf.masked_copy(each, [key for key in each if key != "hydra"]) for each in (found, expected)]
    resolved, also = (OmegaConf.to_container(each, resolve=True) for each in task)
    assert resolved == also
    return found


JOBS = [
    [],
    ["hidden_size=4"],
    ["hidden_size=4", "seed=3", "dtype=float64", "tie=true"],
    ["embedding_dim=null", "bptt_length=null"],
    ["seed=1_000", "hidden_size='7'"],
    ["optimizer.learning_rate=0.1"],
    ["optimizer.learning_rate=1e-3", "cell.activation=relu"],
    ["cell=lstm"],
    ["task=adding", "task.length=30", "hidden_size=9"],
    ["optimizer=sgd", "optimizer.momentum=0.9", "schedule=cosine", "clipping=none"],
    ["init=identity", "initializer@init.recurrent=orthogonal"],
    ["experiment=echo_threshold", "hidden_size=3", "task.lag=4"],
    ["hidden_size=3", "experiment=gradient_flow"],
    ["+extra=1"],
    ["+cell.extra=1", "cell.activation=relu"],
    ["cell.activation=relu", "+cell.extra=[1,2]"],
    ["++optimizer.learning_rate=0.3", "seed=1"],
    ["~schedule"],
    ["~optimizer.beta1", "optimizer.beta2=0.5"],
    ["freeze=[embedding,recurrent]"],
    ["freeze=[]"],
    ["freeze={a:1,b:[2,3]}"],
    ["+init.recurrent={gain:2,extra:{deep:1}}"],
    ["init.output.gain=0.1", "init.recurrent={gain:2}"],
    ["run_name='a b, c=d'"],
    ['run_name="quoted \\"twice\\""'],
    ["run_name="],
    ["run_name=true", "tracking.experiment=12"],
    ["run_name=${hidden_size}-${seed}", "seed=7"],
    ["embedding_dim=${hidden_size}", "hidden_size=6"],
    ["task=text", "task.path='some where/file.txt'"],
    ["tracking=none", "tracking.figures=true"],
    ["tracking.uri=sqlite:///other.db"],
    ["hidden_size=4", "hidden_size=5"],
    ["optimizer.learning_rate=0.1", "seed=1", "optimizer.learning_rate=0.2"],
    ["fail_fast=true", "skip_finished=yes", "max_jobs=5"],
]


@pytest.mark.parametrize("overrides", JOBS, ids=lambda overrides: " ".join(overrides) or "nothing")
def test_a_job_is_composed_as_hydra_does_it(overrides):
    compared(overrides)


ORDERS = [
    ["++optimizer.learning_rate=0.3", "optimizer.learning_rate=0.2"],
    ["run_name=${seed}", "run_name=plain", "seed=4"],
    ["freeze={a:1}", "freeze=embedding"],
    ["cell=lstm", "cell.forget_bias=2", "seed=1"],
    ["initializer@init.recurrent=identity", "init.recurrent.gain=2", "init.output.gain=3"],
]


@pytest.mark.parametrize(
    "overrides",
    [list(order) for job in ORDERS for order in itertools.permutations(job)],
    ids=" ".join,
)
def test_the_last_of_several_for_one_key_counts(overrides):
    compared(overrides)


def test_many_jobs_in_turn_do_not_colour_each_other():
    for overrides in [*JOBS, *reversed(JOBS)][::3]:
        found = load_sweep_config(loader(), plain_master(), overrides)
        assert OmegaConf.to_container(found) == OmegaConf.to_container(by_hydra(*overrides))


def test_the_same_job_twice_is_two_configurations():
    config = plain_master()
    first = load_sweep_config(loader(), config, ["seed=1"])
    second = load_sweep_config(loader(), config, ["seed=1"])
    with open_dict(first):
        first.seed = 5
        first.hydra.job.num = 3
        first.optimizer.learning_rate = 9.0
        first.extra = 1
    assert second.seed == 1 and second.optimizer.learning_rate != 9.0
    compared(["seed=1"])


def test_values_of_the_command_line_are_the_ground_of_every_job():
    config = master("hydra.sweeper.max_batch_size=2", "hydra.job.chdir=true", "steps=7", "seed=1,2")
    job = compared(["steps=7", "seed=1"], config)
    assert (job.steps, job.seed, job.hydra.job.chdir) == (7, 1, True)


def test_a_second_sweep_of_the_process_has_its_own_ground():
    assert compared(["seed=1"], master("hydra.job.chdir=true")).hydra.job.chdir is True
    assert compared(["seed=1"], master("hydra.job.chdir=false")).hydra.job.chdir is False


def test_what_was_resolved_once_stays_so_in_every_job():
    config = master("seed=1,2")
    where = config.hydra.sweep.dir
    time.sleep(0.01)
    for seed in (1, 2):
        assert load_sweep_config(loader(), config, [f"seed={seed}"]).hydra.sweep.dir == where


BAD = [["hidden_size=abc"], ["hiden_size=4"], ["cell=nope"], ["~nope"], ["hidden_size=4", "+seed=1"], ["optimizer=[1]"]]


@pytest.mark.parametrize("overrides", BAD, ids=" ".join)
def test_what_hydra_refuses_is_refused_in_the_same_words(overrides):
    config = plain_master()
    with pytest.raises(Exception) as expected:
        original_load(loader(), config, overrides)
    with pytest.raises(type(expected.value)) as found:
        load_sweep_config(loader(), config, overrides)
    assert str(found.value) == str(expected.value)
    compared(["hidden_size=4"])  # and nothing of it stays


def test_it_is_faster():
    config, jobs = plain_master(), [[f"seed={seed}", "hidden_size=5", "cell=lstm"] for seed in range(5)]
    load_sweep_config(loader(), config, jobs[0])
    seconds = []
    for load in (load_sweep_config, original_load):
        began = time.perf_counter()
        for job in jobs:
            load(loader(), config, job)
        seconds.append(time.perf_counter() - began)
    assert seconds[0] < seconds[1] / 2


def sweep_of(*arguments):
    """What `master` composes, as far as the jobs are concerned, without composing it."""
    config = copy.deepcopy(plain_master())
    config.hydra.overrides.task = list(arguments)
    return config


def jobs_of(*arguments):
    count, jobs = combinations(sweep_of(*arguments))
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
        (["cell=glob(*,exclude=r*)"], [["cell=gru"], ["cell=lstm"]]),
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
            combinations(config)
        return
    assert jobs_of(*arguments) == jobs
    overrides = OverridesParser.create(config_loader=loader()).parse_overrides(arguments)
    assert BasicSweeper.split_arguments(overrides, None) == [jobs]


def test_values_that_the_sweepers_settings_add():
    config = sweep_of("seed=0,1")
    config.hydra.sweeper.params = {"hidden_size": "4,5", "seed": "7,8"}  # as a file of one's own would
    count, jobs = combinations(config)
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
        combinations(sweep_of("optimizer.learning_rate=interval(0,1)"))
    assert "hydra/sweeper=optuna" in str(told.value)


def test_no_value_is_refused():
    with pytest.raises(InvalidValue, match="seed must be at least one value"):
        combinations(sweep_of("seed=range(5,5)"))


def test_a_large_number_of_jobs_is_counted_without_making_them():
    count, _ = combinations(sweep_of("seed=range(0,10000)", "batch_size=range(1,10001)"))
    assert count == 100_000_000


def test_too_many_jobs():
    check_count(1000, 1000)
    with pytest.raises(UserError) as told:
        check_count(1001, 1000)
    assert "1001" in str(told.value) and "max_jobs=1001" in told.value.hint


def test_every_job_is_checked_and_the_first_bad_one_told():
    config = sweep_of("hidden_size=4,0", "seed=0,1")
    with pytest.raises(InvalidValue) as told:
        check_all(config, combinations(config)[1])
    assert told.value.key == "hidden_size"
    assert "in the job hidden_size=0 seed=0" in told.value.hint


def test_a_bad_seed_is_found_among_good_ones():
    config = sweep_of("seed=0,1,-1")
    with pytest.raises(InvalidValue, match="seed"):
        check_all(config, combinations(config)[1])


def test_jobs_that_differ_in_their_seed_only_are_built_once(monkeypatch):
    import rnnexp.build

    built = []
    build = rnnexp.build.build
    monkeypatch.setattr(rnnexp.build, "build", lambda config: built.append(check_root(config)) or build(config))
    config = sweep_of("hidden_size=4,5", "seed=range(20)")
    check_all(config, combinations(config)[1])
    assert [settings["hidden_size"] for settings in built] == [4, 5]
