"""The README's screenshots of the MLflow UI: its sweep, run in an empty folder, seen in headless Chromium.

Needs the browser extra and Chromium. From the root of the checkout::

    python experiments/tour/screenshots.py
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SWEEP = ["cell=rnn,lstm", "task.lag=5,10,20", "bptt_length=null"]
SIZE = {"width": 1600, "height": 900}
PATIENCE = 240_000  # milliseconds


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
        page = opened.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        yield page
        opened.close()


def open_page(page: Any, address: str, *texts: str) -> None:
    """Open an address as on a first visit, and wait for the texts."""
    page.goto(address, wait_until="load")
    for text in texts:
        page.wait_for_function("text => document.body.innerText.includes(text)", arg=text, timeout=PATIENCE)


def main() -> None:
    """Run the sweep, follow the links that it prints, and take the pictures."""
    with tempfile.TemporaryDirectory() as name, browser() as page:
        folder = Path(name)
        command = [sys.executable, "-m", "rnnexp", "-m", *SWEEP]
        printed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        links = dict(re.findall(r"^(charts|comparison) +http://[^/]+(\S+)$", printed, flags=re.MULTILINE))
        with shown(folder) as address:
            open_page(page, address + links["charts"], "6 matching runs", "eval/loss")
            page.get_by_placeholder("Search metric charts").fill("gradient_by_lag/")
            page.wait_for_timeout(4000)
            page.screenshot(timeout=PATIENCE, path=HERE / "charts.png")
            page.locator('[data-component-id="fullscreen_button_chartcard"]').nth(1).click()
            page.wait_for_timeout(4000)
            page.screenshot(timeout=PATIENCE, path=HERE / "gradient_by_lag.png")

            open_page(page, address + links["comparison"], "Comparing 6 Runs")
            page.wait_for_selector(".js-plotly-plot .axis-title", timeout=PATIENCE)
            page.wait_for_timeout(3000)
            page.screenshot(timeout=PATIENCE, path=HERE / "compare.png")


if __name__ == "__main__":
    main()
