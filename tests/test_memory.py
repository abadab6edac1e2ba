"""The memory that is counted is that which is used; what does not fit is refused before it is made."""

import gc
import shlex
import tracemalloc

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from rnnexp import machine, memory
from rnnexp.build import build_experiment, build_the_task, component
from rnnexp.checks import out_of_memory
from rnnexp.command.check_first import register
from rnnexp.settings import check_root, conf_dir

GIB = 2**30


@pytest.fixture(scope="module", autouse=True)
def hydra():
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def settings_of(line):
    return check_root(compose("config", overrides=["steps=4", "eval_every=2", *shlex.split(line)]))


def counted(settings):
    task, (cell, _) = build_the_task(settings), component("cell", settings["cell"])
    drawn = task.sample(4, rng=np.random.default_rng(0)) if hasattr(task, "sample") else None
    return memory.need_of(settings, {}, cell, task, drawn).total


FEW = "batch_size=2 task.eval_sequences=20"
GRID = [
    *(
        line
        for cell in ("rnn", "gru", "lstm", "leaky")
        for line in (
            f"cell={cell} hidden_size=500 gradients=off {FEW}",
            f"cell={cell} hidden_size=60 gradients=full task.lag=150 {FEW}",
            f"cell={cell} hidden_size=20 gradients=off batch_size=5000",
            f"cell={cell} hidden_size=100 gradients=light task.lag=200 {FEW}",
            f"cell={cell} gradients=off task.eval_sequences=60000",
            f"cell={cell} hidden_size=100 gradients=off task=echo bptt_length=100 batch_size=100 task.eval_streams=2",
        )
    ),
    *(
        f"optimizer={name} cell=lstm hidden_size=400 gradients=off {FEW}"
        for name in ("sgd", "rmsprop", "adagrad", "adamw")
    ),
    "output_size=3000 hidden_size=50 gradients=off",
    "output_size=2000 hidden_size=50 gradients=off embedding_dim=null batch_size=50",
    "output_size=2000 hidden_size=50 gradients=off shortcut=true",
    "task=adding batch_size=500 task.length=200 bptt_length=null gradients=off",
    "task=copying batch_size=100 bptt_length=null gradients=off hidden_size=64",
    "task=digits batch_size=100 bptt_length=null gradients=off hidden_size=64",
    "task=mackey_glass batch_size=100 hidden_size=64",
    "num_layers=3 hidden_size=200 batch_size=100 gradients=off",
    "algorithm=rtrl hidden_size=64 gradients=off task.lag=1 task.eval_sequences=20 steps=2",
    "algorithm=snap hidden_size=200 gradients=off task.lag=1 task.eval_sequences=20 steps=2",
    "algorithm=uoro cell=lstm hidden_size=150 gradients=off task.lag=1 task.eval_sequences=20 steps=2",
    "dtype=float64 hidden_size=300 batch_size=100",
    "gradients=light gradients.snr_batches=3 batch_size=300 hidden_size=50 task.lag=50 bptt_length=null",
    "task=echo batch_size=300 hidden_size=50 gradients.staleness_steps=400 steps=101",
    f"cell=lstm num_layers=2 hidden_size=64 gradients=full gradients.snr_batches=0 task.lag=600 {FEW}",
]


@pytest.mark.parametrize("line", GRID)
def test_the_count_is_near_what_is_used(line):
    settings = settings_of(line)
    list(build_experiment(settings_of("gradients=full")).reports())  # what is imported and kept once
    expected = counted(settings)
    gc.collect()
    tracemalloc.start()
    try:
        list(build_experiment(settings).reports())
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used > 2**22
    assert 0.6 < expected / used < 1.7


@pytest.mark.parametrize("kind", ["text", "table"])
def test_the_data_of_a_file_count(kind, tmp_path):
    path = tmp_path / ("large.txt" if kind == "text" else "large.npz")
    if kind == "text":
        path.write_text("the cat sat on the mat\n" * 80_000)
    else:
        np.savez(path, a=np.sin(np.arange(150_000)), b=np.arange(150_000) % 7)
    settings = settings_of(f"task={kind} task.path={path} gradients=off")
    list(build_experiment(settings_of("gradients=off")).reports())  # what is imported and kept once
    expected = counted(settings)
    gc.collect()
    tracemalloc.start()
    try:
        experiment = build_experiment(settings)
        tracemalloc.reset_peak()  # reading the file took more
        list(experiment.reports())
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used > 2**20
    assert 0.6 < expected / used < 1.7


HOSTILE = [
    "task=echo bptt_length=10000000",
    "output_size=100000000",
    "task.eval_sequences=100000000",
    "batch_size=10000000",
    "hidden_size=30000",
    "task.lag=100000000",
    "embedding_dim=100000000",
    "num_layers=10000000",
    "cell=lstm hidden_size=20000",
    "optimizer=sgd init=normal hidden_size=40000",
    "dtype=float64 hidden_size=25000",
    "hidden_size=1000000000000000000000000000000",
    "batch_size=1000000000000000000",
    "task=adding task.length=50000000",
    "task=copying task.length=50000000",
    "task=mackey_glass task.eval_steps=100000000",
    "task=mackey_glass task.eval_streams=100000000",
    "task=latch task.length=50000000",
    "task=text batch_size=2 hidden_size=30000",
    "task=echo task.lag=50000000 task.eval_steps=50000001",
    "task=echo task.eval_streams=10000000",
    "task=digits hidden_size=30000",
    "gradients=full cell=lstm num_layers=3 hidden_size=1500",
    "task=sine batch_size=10000000",
    "output_size=200000 embedding_dim=null",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_hostile_sizes_are_refused_at_once_and_the_hint_fits(line, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4.0 * GIB)
    settings = settings_of(line)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError) as refused:
            build_experiment(settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < GIB / 4
    told = out_of_memory(refused.value)
    assert len(told.message().splitlines()) == 2
    assert "GiB" in told.problem or "TiB" in told.problem
    key, _, value = told.hint.partition(" ")[0].partition("=")
    assert key in line
    settings = settings_of(f"{line} {key}={value}")
    cell, _ = component("cell", settings["cell"])
    memory.check_sizes(settings, cell)


def test_what_fits_many_times_is_refused_where_many_run_at_a_time(monkeypatch):
    settings = settings_of("hidden_size=2000")
    one = counted(settings)
    monkeypatch.setattr(memory, "available", lambda: 2.5 * one)
    build = [build_the_task(settings), component("cell", settings["cell"])[0]]
    memory.check_sizes(settings, build[1], copies=2)
    with pytest.raises(MemoryError, match="for each of 4 at a time"):
        memory.check_sizes(settings, build[1], copies=4)


def test_the_limit_of_a_control_group_counts(tmp_path):
    (tmp_path / "cgroup").write_text("0::/jobs/one\n")
    group = tmp_path / "fs" / "jobs" / "one"
    group.mkdir(parents=True)
    for name, text in (("memory.max", f"{3 * GIB}\n"), ("memory.current", f"{2 * GIB}\n")):
        (group / name).write_text(text)
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\n")
    (group.parent / "memory.max").write_text("max\n")
    assert machine._groups(tmp_path / "fs", tmp_path / "cgroup") == [(3 * GIB, GIB)]
    old = tmp_path / "fs" / "memory"
    old.mkdir()
    for name, text in (("memory.limit_in_bytes", "7"), ("memory.usage_in_bytes", "5"), ("memory.stat", "")):
        (old / name).write_text(text)
    assert (7, 5) in machine._groups(tmp_path / "fs", tmp_path / "cgroup")
    assert 0 < machine.available() < 2**63


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (1536, "1.5 KiB"), (3 * GIB, "3 GiB"), (5e15, "4.55e+03 TiB")]
)
def test_bytes_are_said_in_a_readable_unit(number, text):
    assert memory.size(number) == text
