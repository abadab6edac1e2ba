"""The MLflow UI as a person sees it: the command and the link that a run prints, and two runs compared."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import quote

import pytest
from browsing import see

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def two_runs(new_folder, command, recorded):
    folder = new_folder()
    printed = [command(folder, f"hidden_size={size}", "steps=60").stdout for size in (6, 12)]
    return folder, printed, recorded(folder)


@pytest.fixture(scope="module")
def ui(two_runs):
    """The printed `mlflow ui` command, really started, on a free port; its address."""
    folder, printed, _ = two_runs
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = re.search(r"start +(.* ui --backend-store-uri .*) --port 5000", printed[-1])[1]
    words = [*shlex.split(shown), "--port", str(port)]
    if words[0] == "mlflow":
        words[:1] = [sys.executable, "-m", "mlflow"]
    server = subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def test_the_printed_link_opens_the_run(two_runs, ui, page):
    _, printed, runs = two_runs
    link = re.search(r"open +http://127\.0\.0\.1:5000(\S+)", printed[-1])[1]
    page.goto(ui + link, wait_until="load")
    see(page, "hidden_size=12", "eval/loss", "gradient/decay_rate", "Finished")
    see(page, "per step back in time")  # the summary is the run's description
    assert runs[-1].info.run_id in page.url


def test_two_runs_compare_with_their_curves_by_lag(two_runs, ui, page):
    _, _, runs = two_runs
    ids = quote(json.dumps([run.info.run_id for run in runs]))
    experiments = quote(json.dumps([runs[0].info.experiment_id]))
    page.goto(f"{ui}/#/compare-runs?runs={ids}&experiments={experiments}", wait_until="load")
    see(page, "Comparing 2 Runs", "Parallel Coordinates", "hidden_size=6", "hidden_size=12")
    metric = quote(json.dumps("gradient_by_lag/last"))
    keys = quote(json.dumps(["gradient_by_lag/last"]))
    page.goto(
        f"{ui}/#/metric?runs={ids}&metric={metric}&experiments={experiments}&plot_metric_keys={keys}&x_axis=step",
        wait_until="load",
    )
    see(page, "gradient_by_lag/last", "hidden_size=6", "hidden_size=12", "(step=9)")  # the lag is the step


def test_the_runs_page_lists_both_runs(two_runs, ui, page):
    _, _, runs = two_runs
    address = f"{ui}/#/experiments/{runs[0].info.experiment_id}/runs?workflowType=machine_learning"
    page.goto(address, wait_until="load")
    see(page, "hidden_size=6", "hidden_size=12")
