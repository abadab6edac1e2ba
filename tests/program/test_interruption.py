"""A run that is stopped from outside ends with a true status, the usual exit code, and its metrics so far."""

import signal
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
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
