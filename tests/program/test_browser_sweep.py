"""The links that a sweep prints, followed in the MLflow UI that `python -m rnnexp.tracking ui` starts."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from browsing import see

pytestmark = pytest.mark.browser
NAMES = [f"{cell}, {length}" for cell in ("rnn", "lstm") for length in (3, 20)]


@pytest.fixture(scope="module")
def printed(new_folder, command):
    """A sweep of four jobs beside a run of its own, in one experiment: its folder and what it printed."""
    folder = new_folder()
    assert command(folder, "hidden_size=5", "steps=40").returncode == 0
    done = command(folder, "-m", "cell=rnn,lstm", "bptt_length=3,20", "steps=60")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def ui(printed):
    """The address of the UI, and the line that the command printed."""
    folder, _ = printed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "rnnexp.tracking", "ui", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = server.stdout.readline()
        assert line, server.stderr.read()
        yield f"http://127.0.0.1:{port}", line
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
        assert server.returncode == 128 + signal.SIGTERM
        for _ in range(50):  # nothing of it stays behind
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.2)
        else:
            os.killpg(server.pid, signal.SIGKILL)
            pytest.fail("the MLflow UI goes on after its command has ended")


def link(printed, ui, name):
    found = re.search(rf"^{name} +http://127\.0\.0\.1:5000(\S+)$", printed[1], flags=re.MULTILINE)
    assert found, printed[1]
    return ui[0] + found[1]


def test_the_command_prints_the_page_that_lists_the_runs(ui, page):
    address, line = ui
    shown = re.search(r"http://\S+", line)[0]
    assert shown.startswith(address)
    page.goto(shown, wait_until="load")
    see(page, "hidden_size=5", "sweep: cell=rnn,lstm, bptt_length=3,20")


def test_the_charts_are_of_the_children_by_their_names(printed, ui, page):
    page.goto(link(printed, ui, "charts"), wait_until="load")
    see(page, "4 matching runs", "eval/loss", "final/best_eval_loss", *NAMES)
    shown = page.inner_text("main, body")
    assert "sweep: cell" not in shown
    # By the alphabet come groups, and charts in a group: curves of the evaluation before what is a single point.
    charts = re.findall(r"^[a-z]+/[a-z_./]+$", shown, flags=re.MULTILINE)
    assert charts[:2] == ["eval/accuracy", "eval/loss"]
    assert charts.index("eval/loss") < charts.index("final/best_eval_loss")
    page.goto(link(printed, ui, "charts").replace("compareRunsMode=CHART", "compareRunsMode=TABLE"), wait_until="load")
    see(page, *NAMES)


def test_the_comparison_has_an_axis_for_each_swept_key_and_none_for_what_some_cells_lack(printed, ui, page):
    page.goto(link(printed, ui, "comparison"), wait_until="load")
    see(page, "Comparing 4 Runs", "Parallel Coordinates", *NAMES)
    page.wait_for_selector(".js-plotly-plot .axis-title", timeout=90_000)
    axes = page.locator(".js-plotly-plot .axis-title").all_text_contents()
    assert set(axes[:-1]) == {"cell", "bptt_length"}  # no cell.forget_bias, which an rnn never had
    assert axes[-1] == "eval/loss"  # the first metric that was sent, which says most


def test_the_parent_shows_the_table_of_its_jobs_and_the_report(printed, ui, page):
    parent = re.search(r"^MLflow parent run +(\w+)", printed[1], flags=re.MULTILINE)[1]
    runs = re.search(r"^charts +http://127\.0\.0\.1:5000(/#/experiments/\d+/runs)", printed[1], flags=re.MULTILINE)[1]
    page.goto(f"{ui[0]}{runs}/{parent}", wait_until="load")
    see(page, "4 FINISHED", "final loss", "jobs/finished")
    page.goto(f"{ui[0]}{runs}/{parent}/artifacts", wait_until="load")
    see(page, "sweep.html", "sweep.csv", "gradient_by_lag.png", "sweep_table.json")
    page.goto("about:blank")  # else the page stays as it is
    page.goto(f"{ui[0]}{runs}/{parent}/artifacts/sweep_table.json", wait_until="load")
    see(page, "View as table", "final/eval/loss", "cell=lstm, bptt_length=20")
