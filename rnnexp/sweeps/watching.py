"""Reports how jobs of a sweep end whose output goes into files: those of a cluster."""

import threading
from pathlib import Path

from omegaconf import DictConfig

from rnnexp.process import say
from rnnexp.records import load_jobs

#: Hydra's launchers whose jobs don't write to this terminal, by the package of their class.
SUBMITTED = "hydra_plugins.hydra_submitit_launcher."
#: Seconds between two looks at the records.
PAUSE = 1.0


class Watch:
    """A thread that reads the records in a sweep's folder, and prints a line for each job that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reported = {job.number: job.status for job in load_jobs(folder)}  # of a sweep that goes on
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Report the last ones, and end."""
        self._over.set()
        self._thread.join()
        self._look()

    def _look_again(self) -> None:
        while not self._over.wait(PAUSE):
            self._look()

    def _look(self) -> None:
        # One that was killed may be started again by its batch system.
        over = {number for number, status in self._reported.items() if status not in ("KILLED", "RUNNING")}
        for job in load_jobs(self.folder, apart_from=over):
            if job.status not in ("RUNNING", self._reported.get(job.number)):
                say(*job.line.split("\n"), error=not job.usable)
            self._reported[job.number] = job.status


def watch(config: DictConfig, folder: Path) -> Watch | None:
    """A watch over a multirun's jobs; None if they print their own lines here."""
    launcher = config.hydra.launcher
    unheard = str(launcher.get("_target_")).startswith(SUBMITTED) or launcher.get("backend") == "dask"
    return Watch(folder) if unheard else None
