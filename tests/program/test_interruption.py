"""A run that is stopped from outside ends with a true status, the usual exit code, and its metrics so far."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from resume_runs import Record, runs_in


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SIGINT", 130),
        pytest.param("SIGTERM", 143, marks=pytest.mark.thorough),
        pytest.param("SIGHUP", 129, marks=pytest.mark.thorough),
    ],
)
def test_a_stopped_run_is_killed_and_keeps_its_metrics(folder, recorded, name, code):
    run = subprocess.Popen(
        [sys.executable, "-m", "rnnexp", "steps=10000000", "eval_every=50"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in run.stderr:
        if line.startswith("step 100/"):
            break
    run.send_signal(getattr(signal, name))
    _printed, told = run.communicate(timeout=120)
    assert run.returncode == code
    assert "Traceback" not in told
    (record,) = recorded(folder)
    assert record.info.status == "KILLED"
    assert record.data.metrics["eval/loss"] > 0
    assert "final/eval/loss" in record.data.metrics


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_under_nohup_outlives_its_terminal(folder, recorded):
    run = subprocess.Popen(
        [sys.executable, "-m", "rnnexp", "steps=2000", "eval_every=50", "tracking.figures=false"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert run.stderr.readline().startswith("step 0/")
    run.send_signal(signal.SIGHUP)
    run.communicate(timeout=120)
    assert run.returncode == 0
    assert [record.info.status for record in recorded(folder)] == ["FINISHED"]


@pytest.mark.quick(1)
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize(
    "sweep", [(), ("-m", "seed=0,1"), ("-m", "seed=0,1", "hydra/launcher=joblib")], ids=["run", "serial", "joblib"]
)
def test_nobody_has_to_read_what_is_printed(folder, recorded, sweep):
    """`python -m rnnexp | head -1` ends well."""
    if "hydra/launcher=joblib" in sweep:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    reading, writing = os.pipe()
    os.close(reading)
    run = [sys.executable, "-m", "rnnexp", *sweep, "steps=20", "tracking.figures=false"]
    done = subprocess.run(run, cwd=folder, stdout=writing, stderr=writing, timeout=120, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert [record.info.status for record in recorded(folder)] == (["FINISHED"] * 3 if sweep else ["FINISHED"])


#: Ctrl-C comes when MLflow is imported, which is noted, in the middle of a run.
AT_IMPORT = """
import os, signal, sys
from rnnexp import __main__ as command
from rnnexp.tracking import recorder, run_log

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow.tracking":
            sys.meta_path.remove(self)
            print("mlflow is imported", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
run_log.PATIENCE = 0.0
record = recorder.Recorder.record
def noted(self, report, seconds):
    print(f"update {report.step} is recorded", file=sys.stderr)
    record(self, report, seconds)
recorder.Recorder.record = noted
sys.argv[1:] = ["steps=1000000", "tracking.figures=false", "checkpoint=files"]
command.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_one_while_mlflow_is_imported_loses_nothing_and_the_run_arrives(folder, recorded):
    """It is imported after training has begun: it takes longer than training."""
    run = subprocess.run([sys.executable, "-c", AT_IMPORT], cwd=folder, capture_output=True, text=True, timeout=120)
    assert run.returncode == 130, run.stderr
    told = run.stderr.splitlines()
    assert told.index("update 0 is recorded") < told.index("mlflow is imported") and "Traceback" not in run.stderr
    (record,) = recorded(folder)
    assert record.info.status == "KILLED" and record.data.tags["error"] == "stopped by Ctrl-C"
    assert record.data.metrics["eval/loss"] > 0
    assert any(line.startswith("rnnexp: to go on: python -m rnnexp resume=") for line in told)


SWEEP = ("-m", "seed=0,1")
#: What a clean-up does that finds a half-made object, when Ctrl-C came into what it cleans up.
BROKEN_OFF = """
import os, signal
import {module} as module
whole = module.{name}
def broken_off(*args, **kwargs):
    half_made = None
    try:
        os.kill(os.getpid(), signal.SIG{signal})
        return whole(*args, **kwargs)
    finally:
        half_made.close()
module.{name} = broken_off
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143)])
@pytest.mark.parametrize(
    ("arguments", "module", "function"),
    [
        ((), "hydra._internal.config_loader_impl", "ConfigLoaderImpl.load_configuration"),
        ((), "rnnexp.build", "build_experiment"),
        (SWEEP, "hydra._internal.config_loader_impl", "ConfigLoaderImpl.load_configuration"),
        (SWEEP, "rnnexp.run", "build_experiment"),
        (SWEEP, "rnnexp.sweeps.jobs", "JobRecord.save"),
        ((*SWEEP, "hydra/launcher=stacked"), "rnnexp.sweeps.composition", "Composer.job"),
    ],
)
def test_an_error_in_what_was_broken_off_is_not_the_story(warm, arguments, module, function, name, code):
    """An interruption is told as one, whatever the code that it broke off makes of it."""
    folder = warm.new_folder()
    before = BROKEN_OFF.format(module=module, name=function, signal=name)
    run = warm.start(folder, *arguments, "steps=5", before=before).wait()
    assert run.returncode == code, (run.stdout, run.stderr)
    assert "half_made" not in run.stderr and "NoneType" not in run.stderr and "Traceback" not in run.stderr
    left = [Record(folder, run_id) for run_id in runs_in(folder)]
    assert {record.status for record in left} <= {"KILLED"}
    assert not any("NoneType" in record.tags.get("error", "") for record in left)


#: Ctrl-C comes at a function call that is counted off.
AT_CALL = """
import os, signal, sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
    if calls == {number}:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
from rnnexp import process
install = process.handle_signals
def install_and_count():
    process.handle_signals = install
    install()
    sys.setprofile(count)
process.handle_signals = install_and_count
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("arguments", [(), SWEEP])
def test_one_that_comes_anywhere_is_told_as_such(warm, arguments):
    """At function calls drawn at random, most of them inside the libraries that read the configuration."""
    for number in np.random.default_rng(len(arguments)).integers(1, 500_000, size=12):
        run = warm.start(warm.new_folder(), *arguments, "steps=5", before=AT_CALL.format(number=number)).wait()
        assert run.returncode in (0, 130), (number, run.stdout, run.stderr)
        assert run.returncode == 0 or "stopped" in run.stderr, (number, run.stderr)
