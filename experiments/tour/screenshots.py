"""The README's screenshots of the MLflow UI: its sweep, run in an empty folder, seen in headless Chromium.

Needs the browser extra and Chromium. From the root of the checkout::

    python experiments/tour/screenshots.py
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mlflow import MlflowClient
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SWEEP = ["cell=rnn,lstm", "task.lag=5,10,20", "bptt_length=null"]
SIZE = {"width": 1200, "height": 720}
COLOURS = ("#E69F00", "#D55E00", "#A50026", "#56B4E9", "#0072B2", "#1B1464")  # warm: rnn; cold: lstm
PATIENCE = 90_000  # milliseconds


@contextlib.contextmanager
def shown(folder: Path) -> Iterator[str]:
    """The address of an MLflow UI on the runs in a folder."""
    command = [sys.executable, "-m", "rnnexp.tracking", "ui", "--port", "5050"]
    small = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WORKERS": "1"}  # it starts sooner
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, **small})
    try:
        assert server.stdout is not None
        found = re.search(r"http://[^/]+", server.stdout.readline())
        assert found is not None, "the MLflow UI did not start"
        yield found[0]
    finally:
        server.terminate()
        server.wait(timeout=60)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A page of a fresh headless Chromium."""
    with sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened.new_page(viewport=SIZE)
        opened.close()


def open_page(page: Any, address: str, *texts: str) -> None:
    """Open an address, wait for the texts, and make room for what is to be seen."""
    page.goto(address, wait_until="load")
    for text in texts:
        page.wait_for_function("text => document.body.innerText.includes(text)", arg=text, timeout=PATIENCE)
    for panel in ("mlflow.assistant.chat_panel.close", "mlflow_header.toggle_sidebar_button"):
        button = page.locator(f'[data-component-id="{panel}"]')
        if button.count() and address.partition("/#/")[2].startswith("experiments"):  # both stay closed
            button.first.click()


def colour(folder: Path, runs: list[str]) -> None:
    """A colour for each run by its cell: those that a sweep gives go by the job's number alone."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for run, shade in zip(runs, COLOURS, strict=True):
        client.set_tag(run, "mlflow.runColor", shade)


def main() -> None:
    """Run the sweep, follow the links that it prints, and take the pictures."""
    with tempfile.TemporaryDirectory() as name, browser() as page:
        folder = Path(name)
        command = [sys.executable, "-m", "rnnexp", "-m", *SWEEP]
        printed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        links = dict(re.findall(r"^(charts|comparison) +http://[^/]+(\S+)$", printed, flags=re.MULTILINE))
        compared = parse_qs(urlsplit(links["comparison"]).fragment.partition("?")[2])
        colour(folder, json.loads(compared["runs"][0]))
        with shown(folder) as address:
            open_page(page, address + links["charts"], "6 matching runs", "eval/loss")
            page.get_by_placeholder("Search metric charts").fill("gradient_by_lag/")
            page.wait_for_timeout(4000)
            page.screenshot(path=HERE / "charts.png")
            page.locator('[data-component-id="fullscreen_button_chartcard"]').nth(1).click()
            page.wait_for_timeout(4000)
            page.screenshot(path=HERE / "gradient_by_lag.png")

            open_page(page, address + links["comparison"], "Comparing 6 Runs")
            page.wait_for_selector(".js-plotly-plot .axis-title", timeout=PATIENCE)
            axis = page.locator('[class$="selection-item"]', has_text="cell.forget_bias")  # an LSTM's alone
            axis.locator('[class$="item-remove"]').click()
            page.wait_for_timeout(3000)
            page.screenshot(path=HERE / "compare.png")


if __name__ == "__main__":
    main()
