"""`python -m rnnexp` many times over at the cost of one import: children forked from a process that has imported it.

As a script it forks them; `Warm` is its other end.
"""

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

#: Drawing takes longer than all else that a short run does.
UNDRAWN = """
import base64
from pathlib import Path
from matplotlib.figure import Figure
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5zaMyAAAAABJRU5ErkJggg=="
)
def savefig(figure, path, **options):
    path.write(PIXEL) if hasattr(path, "write") else Path(path).write_bytes(PIXEL)
Figure.savefig = savefig
"""


class Forks:
    """A process that has imported everything, and forks a child for each command.

    With `used` it has recorded a run itself: a child starts in less than half the time, but a patch that it is given
    does not reach what was imported by name.
    """

    def __init__(self, folder, *, used):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(folder / f"template-{used}.db"), *(["used"] if used else [])],
            cwd=folder,
            env={**kept, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Warm:
    """Commands in children of processes that have imported everything."""

    def __init__(self, folder):
        self.folder, self.count, self.children = folder, 0, []
        self.used, self.fresh = Forks(folder, used=True), None

    def new_folder(self):
        """An empty folder with a tracking database."""
        self.count += 1
        folder = self.folder / f"{self.count}"
        folder.mkdir()
        shutil.copy(self.folder / "template-True.db", folder / "mlflow.db")
        return folder

    def start(self, folder, *arguments, patience=5.0, before="", drawn=False):
        """Begin a command.

        `patience` is between two writings of metrics, `before` is run in the child first, and without `drawn` the
        figures are made but their files hold one pixel.
        """
        self.count += 1
        printed = self.folder / f"{self.count}"
        for suffix in (".out", ".err"):  # a child killed at its very start has them, too
            printed.with_suffix(suffix).touch()
        given = {"arguments": arguments, "folder": str(folder), "printed": str(printed)}
        if before and self.fresh is None:
            shutil.copy(self.folder / "template-True.db", self.folder / "template-False.db")
            self.fresh = Forks(self.folder, used=False)
        forks = self.fresh if before else self.used
        pid = forks.ask(start=given, patience=patience, before=before if drawn else UNDRAWN + before)
        self.children.append(Child(forks, pid, printed))
        return self.children[-1]

    def run(self, folder, *arguments, **how):
        """A whole command."""
        return self.start(folder, *arguments, **how).wait()

    def close(self):
        for child in self.children:  # of tests that failed
            if not child.ended():
                child.kill(signal.SIGKILL)
        for forks in (self.used, self.fresh):
            if forks is not None:
                forks.close()


class Child:
    """A command that is running, or has run."""

    def __init__(self, forks, pid, printed):
        self.forks, self.pid, self.printed, self.returncode = forks, pid, printed, None

    def ended(self):
        if self.returncode is None:
            self.returncode = self.forks.ask(poll=self.pid, block=False)
        return self.returncode is not None

    def kill(self, number):
        """Send a signal, if it has not ended: a process that nobody has waited for keeps its number."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self):
        if self.returncode is None:
            self.returncode = self.forks.ask(poll=self.pid, block=True)
        return self

    @property
    def stdout(self):
        return self.printed.with_suffix(".out").read_text(encoding="utf-8")

    @property
    def stderr(self):
        return self.printed.with_suffix(".err").read_text(encoding="utf-8")

    def when(self, condition, timeout=60):
        """Wait until something is so, or the command has ended: whether it is still running."""
        until = time.monotonic() + timeout
        while not condition():
            if self.ended():
                return False
            assert time.monotonic() < until, (self.stdout, self.stderr)
            time.sleep(0.0005)
        return not self.ended()


def serve(template, used):
    """Import everything, then fork as asked."""
    import matplotlib.pyplot  # noqa: F401
    import mlflow
    from mlflow.store.artifact import local_artifact_repo  # noqa: F401

    mlflow.MlflowClient(f"sqlite:///{template}").search_experiments()
    if used:
        run_once(template)
        gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if not pid:
                child(request)
            answer = pid
        else:
            found, status = os.waitpid(request["poll"], 0 if request["block"] else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if found else None
        print(json.dumps(answer), flush=True)


def run_once(template):
    """Record a run and draw its figures, so that no child is the first to compose or to draw; then undo it."""
    import logging

    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from rnnexp.__main__ import main
    from rnnexp.command.check_first import CheckFirst
    from rnnexp.sweeps import composition, jobs, launching, stacked_jobs  # noqa: F401  what a sweep imports

    started_in, environment, path = Path.cwd(), dict(os.environ), list(sys.path)
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr", "__stdout__", "__stderr__")}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    thresholds, filters = gc.get_threshold(), list(warnings.filters)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:  # noqa: PTH123
        os.chdir(folder)
        shutil.copy(template, "mlflow.db")
        sys.stdout = sys.stderr = null
        sys.argv = ["rnnexp", "hidden_size=3", "steps=3", "batch_size=2", "cell=lstm", "gradients=full"]
        with contextlib.suppress(SystemExit):
            main()
    for name, stream in streams.items():
        setattr(sys, name, stream)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.chdir(started_in)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    gc.enable()
    gc.set_threshold(*thresholds)
    warnings.filters[:] = filters
    logging.root.handlers.clear()
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    CheckFirst.prepared = None


def child(request):
    """Be `python -m rnnexp`."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        given = request["start"]
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{given['printed']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        os.chdir(given["folder"])
        sys.argv = ["rnnexp", *given["arguments"]]
        from rnnexp.__main__ import main
        from rnnexp.command import HYDRA_1_3
        from rnnexp.tracking import mlflow_run, run_log

        warnings.filterwarnings("error" if HYDRA_1_3 else "ignore", category=UserWarning, module="hydra")
        run_log.PATIENCE = mlflow_run.SHORTEST_PAUSE = request["patience"]
        run_log.SOON = min(1.0, request["patience"])
        run_log.REST *= bool(request["patience"])
        exec(request["before"], {})
        main()
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
        code = code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), used=len(sys.argv) > 2)
