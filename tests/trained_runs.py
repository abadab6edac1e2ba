"""Short runs of the command in this process, to be loaded: without MLflow, unless they ask for it."""

import contextlib
import io
from pathlib import Path

from hydra import compose, initialize_config_dir

from rnnexp.command.check_first import register
from rnnexp.run import Job, run_jobs
from rnnexp.run_info import make_run_info
from rnnexp.settings import check_root, conf_dir

SMALL = ("steps=30", "hidden_size=6", "batch_size=5", "tracking.figures=false")


def train(folder, *overrides):
    """Train in a folder; what the run printed is dropped."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides=["tracking=none", *SMALL, *overrides], return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    info = make_run_info(check_root(config), choices, overrides, Path(folder), Path(folder).parent)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run_jobs([Job(lambda: info)])
    return Path(folder)
