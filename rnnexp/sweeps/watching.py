"""Reports how jobs of a sweep end whose output goes into files: those of a cluster."""

import threading
from pathlib import Path

from omegaconf import DictConfig

from rnnexp.process import say
from rnnexp.records import load_jobs

#: Launchers whose jobs don't write to this terminal, by the package of their class.
UNHEARD = ("hydra_plugins.hydra_submitit_launcher.",)
#: Seconds between two looks at the records.
PAUSE = 1.0


class Watch:
    """A thread that reads the records in a sweep's folder, and prints a line for each job that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reported: set[int] = set()
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
        for job in load_jobs(self.folder, apart_from=self._reported):
            if job.status != "RUNNING":
                self._reported.add(job.number)
                say(*job.line.split("\n"), error=not job.usable)


def watch(config: DictConfig, folder: Path) -> Watch | None:
    """A watch over a multirun's jobs; None if they print their own lines here."""
    return Watch(folder) if str(config.hydra.launcher.get("_target_")).startswith(UNHEARD) else None
