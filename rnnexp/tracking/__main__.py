"""The command ``python -m rnnexp.tracking``: the MLflow UI on this folder's database; uploading what MLflow lacks."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from rnnexp.arguments import Parser, command_frame
from rnnexp.checks import InvalidValue, UserError, nearest
from rnnexp.process import say
from rnnexp.tracking.addresses import tracking_uri
from rnnexp.tracking.store import Store, existing_store

#: Seconds until it is told that the server is still starting, and each time until it is told again; to end.
SOON, AGAIN, END_PATIENCE = 5.0, 60.0, 20
#: Lines of the server's that are kept, to be told if it dies.
LAST_WORDS = 50
#: One person looks at it: one worker, and none for jobs of MLflow's own, so that it starts sooner.
SMALL = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the MLflow UI and say which page shows the runs, or upload what MLflow lacks."""
    parser = Parser(prog="python -m rnnexp.tracking", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ui = commands.add_parser("ui", help="start the MLflow UI, on this machine only, and print the page with the runs")
    ui.add_argument("--experiment", help="MLflow experiment to show (default: rnnexp, or else the newest)")
    ui.add_argument("--uri", help="tracking database; as for python -m rnnexp in this folder when not given")
    ui.add_argument("--port", type=int, default=5000, help="port to begin the search for a free one (default: 5000)")
    ui.add_argument("--open", action="store_true", help="open the page in the browser")
    late = commands.add_parser(
        "sync",
        help="upload what runs could not, because their store failed or they were killed",
        description="Upload the rest of the run logs (run.jsonl) of runs whose tracking store failed while they were "
        "running, or whose process was killed: points, parameters, tags, files, and how they ended. Nothing is stored "
        "twice.",
    )
    late.add_argument("folders", nargs="*", metavar="FOLDER", help="where to look (default: outputs and multirun here)")
    late.add_argument("--uri", help="the store, with its password; the one noted in each run log when not given")
    with command_frame():
        given = parser.parse_args(arguments)
        if given.command == "sync":
            from rnnexp.tracking.sync import sync_folders

            raise SystemExit(sync_folders(given.folders, given.uri))
        raise SystemExit(show(given.uri, given.experiment, given.port, given.open))


def show(uri: str | None, experiment: str | None, port: int, browse: bool) -> int:
    """Run the UI until it is stopped; its exit code.

    Raises
    ------
    UserError
        If there is no database here, or no such experiment in it.
    """
    store = shown_store(tracking_uri(uri, Path.cwd()), experiment)
    if store.ui_command() is None:
        say(f"the server shows the runs itself: {store.link('runs')}")
        return 0
    port = free_port(port)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env={**SMALL, **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its workers end with it
    )
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    words: deque[str] = deque(maxlen=LAST_WORDS)
    listener = threading.Thread(target=lambda: words.extend(server.stderr or ()), daemon=True)
    listener.start()  # else the server would stand still once nobody reads what it writes
    try:
        wait(server, port, store, listener, words)
        say(f"the runs of experiment {store.experiment}: {store.link('runs', port)}", "Ctrl-C stops the server")
        if browse:
            webbrowser.open(store.link("runs", port))
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=END_PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def shown_store(uri: str, experiment: str | None) -> Store:
    """The store with the experiment to show: the one asked for, else ``rnnexp``, else the newest."""
    store = existing_store(uri)
    experiments = {found.name: found.experiment_id for found in store.client.search_experiments()}
    if experiment is not None and experiment not in experiments:
        raise UserError(
            f"there is no experiment {experiment} in the tracking store",
            nearest(experiment, experiments) or f"it has {', '.join(experiments)}",
        )
    name = experiment or ("rnnexp" if "rnnexp" in experiments else next(iter(experiments)))
    return Store(store.client, store.uri, experiments[name], name)


def free_port(first: int) -> int:
    """The first port from `first` on that nobody uses."""
    if not 1 <= first <= 65_436:
        allowed = "a whole number from 1 to 65436"
        raise InvalidValue("--port", first, allowed, "5000 is where the search begins when not given")
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UserError(f"the ports from {first} to {first + 99} are all in use", "give another one: --port 6000")


def wait(
    server: "subprocess.Popen[str]", port: int, store: Store, listener: threading.Thread, words: Sequence[str]
) -> None:
    """Return when the server answers and shows this store, however long that takes; a line now and then reports it.

    Raises
    ------
    UserError
        If the server has ended, with the last of its words that the listener heard.
    """
    began, here = time.monotonic(), store.client.get_experiment(store.experiment_id).artifact_location
    due = SOON
    while True:
        if server.poll() is not None:
            listener.join(timeout=1.0)
            lines = [line.strip() for line in words if line.strip()]
            why = [line for line in lines if "error" in line.lower()] or lines or ["it gave no reason"]
            raise UserError(f"the MLflow UI ended at its start: {why[-1]}", "if its port was taken: try again")
        query = f"experiments/get?experiment_id={store.experiment_id}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/2.0/mlflow/{query}", timeout=5) as answer:
                shown = json.load(answer)["experiment"]["artifact_location"]
        except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError, KeyError, TypeError):
            shown = None
        if shown == here:
            return
        if (passed := time.monotonic() - began) > due:
            due = passed + AGAIN
            told = f"rnnexp: waiting for the MLflow UI to answer on port {port}, for {passed:.0f} s so far"
            say(f"{told}; Ctrl-C stops it", error=True)
        time.sleep(0.2)  # if another server was quicker to take the port, this one will end


if __name__ == "__main__":
    main()
