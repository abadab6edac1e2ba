"""The quicker composition of jobs and listing of choices return what Hydra's own do, and can be left out."""

import argparse
import copy
import itertools
import subprocess
import sys
import time
from functools import cache

import pytest
from compositions import composing, loader, master, plain_master
from hydra._internal import utils as hydra_utils
from omegaconf import DictConfig, OmegaConf, open_dict

from rnnexp.command import hydra_patches


@pytest.fixture(scope="module", autouse=True)
def hydra_here():
    with composing():
        yield
    hydra_patches._caches.clear()
    by_hydra.cache_clear()


@cache
def by_hydra(*overrides):
    """A job as Hydra composes it."""
    return hydra_patches._hydras_load(loader(), plain_master(), list(overrides))


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
    expected = by_hydra(*overrides) if config is None else hydra_patches._hydras_load(loader(), config, list(overrides))
    config = config or plain_master()
    found = hydra_patches.load_sweep_config(loader(), config, list(overrides))
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


@pytest.mark.parametrize(
    "overrides",
    [pytest.param(job, marks=pytest.mark.thorough if at % 3 else ()) for at, job in enumerate(JOBS)],
    ids=lambda overrides: " ".join(overrides) or "nothing",
)
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
    [
        pytest.param(list(order), marks=() if at == 0 else pytest.mark.thorough)
        for job in ORDERS
        for at, order in enumerate(reversed(list(itertools.permutations(job))))
    ],
    ids=" ".join,
)
def test_the_last_of_several_for_one_key_counts(overrides):
    compared(overrides)


def test_many_jobs_in_turn_do_not_colour_each_other():
    for overrides in [*JOBS, *reversed(JOBS)][::3]:
        found = hydra_patches.load_sweep_config(loader(), plain_master(), overrides)
        assert OmegaConf.to_container(found) == OmegaConf.to_container(by_hydra(*overrides))


def test_the_same_job_twice_is_two_configurations():
    config = plain_master()
    first = hydra_patches.load_sweep_config(loader(), config, ["seed=1"])
    second = hydra_patches.load_sweep_config(loader(), config, ["seed=1"])
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
        assert hydra_patches.load_sweep_config(loader(), config, [f"seed={seed}"]).hydra.sweep.dir == where


BAD = [["hidden_size=abc"], ["hiden_size=4"], ["cell=nope"], ["~nope"], ["hidden_size=4", "+seed=1"], ["optimizer=[1]"]]


@pytest.mark.parametrize("overrides", BAD, ids=" ".join)
def test_what_hydra_refuses_is_refused_in_the_same_words(overrides):
    config = plain_master()
    with pytest.raises(Exception) as expected:
        hydra_patches._hydras_load(loader(), config, overrides)
    with pytest.raises(type(expected.value)) as found:
        hydra_patches.load_sweep_config(loader(), config, overrides)
    assert str(found.value) == str(expected.value)
    compared(["hidden_size=4"])  # and nothing of it stays


def test_choices_of_groups_are_composed_once(monkeypatch):
    composed = []
    by_hydra_itself = hydra_patches._hydras_load
    monkeypatch.setattr(
        hydra_patches, "_hydras_load", lambda *given: composed.append(given[2]) or by_hydra_itself(*given)
    )
    config = copy.deepcopy(plain_master())
    for cell in ("lstm", "gru"):
        for seed in range(3):
            hydra_patches.load_sweep_config(loader(), config, [f"seed={seed}", f"cell={cell}", "hidden_size=5"])
    assert composed == [["cell=lstm"], ["cell=gru"]]


original_add = argparse.ArgumentParser.add_argument


def add_checked(parser, *names, **options):
    """Add an argument and check its help text, as Python 3.14 does."""
    action = original_add(parser, *names, **options)
    if action.help is not None:
        parser._check_help(action)
    return action


def test_a_help_text_that_is_made_when_printed_passes_the_check_of_python_3_14(monkeypatch):
    def check(parser, action):
        if "%" in action.help:
            action.help % {"prog": parser.prog}

    monkeypatch.setattr(argparse.ArgumentParser, "_check_help", check, raising=False)
    hydra_patches.accept_lazy_help()
    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", add_checked)
    assert hydra_utils.get_args_parser()._check_help is not check
    with pytest.raises(ValueError, match="unsupported format character"):
        argparse.ArgumentParser().add_argument("--own", help="100 %!")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Hydra 1.3 needs it there")
@pytest.mark.thorough
def test_the_command_works_without_it(tmp_path):
    code = """
import sys
sys.modules["rnnexp.command.hydra_patches"] = None  # as if the file had been deleted
from rnnexp.command.entry import main
from hydra._internal.config_loader_impl import ConfigLoaderImpl
main()
assert ConfigLoaderImpl.load_sweep_config.__module__ == ConfigLoaderImpl.__module__
"""
    small = ["steps=2", "hidden_size=2", "tracking.figures=false"]
    for arguments in (["--help"], small, ["-m", "seed=0,1", *small], ["-m", *small, "hidden_size=0,1"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert (done.returncode == 0) == ("hidden_size=0,1" not in arguments), done.stderr
    assert "in the job steps=2 hidden_size=0" in done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/[01]/config.yaml"))) == 2
