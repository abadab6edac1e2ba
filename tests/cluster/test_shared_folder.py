"""Two machines with a shared folder, of which one loses the MLflow server in the middle: nothing is lost or doubled.

The machines are network namespaces of this one, with host names of their own.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
import servers
from failing_stores import as_it_came, fewer, logged, measured, stored, unfinished
from servers import finished, until
from sweep_helpers import children, client, counts, job_records, parents

pytestmark = pytest.mark.cluster
LENGTH = ("hidden_size=20", "eval_every=50", "tracking.figures=false", "hydra.sweep.dir=sweep")
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Machine:
    """A network namespace, with an end of a cable to the other one."""

    def __init__(self, name, number):
        self.name, self.space, self.address = name, f"rnnexp-{name}-{os.getpid()}", f"10.213.77.{number}"
        self.cable, self.started = f"rx{number}{os.getpid()}"[:15], []

    def ip(self, *arguments):
        subprocess.run(["ip", "-n", self.space, *arguments], check=True, capture_output=True)

    def command(self, *arguments):
        named = f'hostname {self.name} && exec "$@"'
        return [
            "ip",
            "netns",
            "exec",
            self.space,
            "unshare",
            "--uts",
            "sh",
            "-c",
            named,
            "sh",
            sys.executable,
            *arguments,
        ]

    def start(self, folder, *arguments):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        given = {"cwd": folder, "env": {**kept, **ENVIRONMENT}, **pipes}
        self.started.append(subprocess.Popen(self.command(*arguments), **given))
        return self.started[-1]


def made(stack, *command):
    """Run a command of `ip`'s; the test is skipped if that may not be done here."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"network namespaces need {error.filename}")
    if done.returncode:
        pytest.skip(f"network namespaces can't be made here: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def machines():
    with ExitStack() as stack:
        pair = [Machine("alpha", 1), Machine("beta", 2)]
        for machine in pair:
            made(stack, "ip", "netns", "add", machine.space)
            stack.callback(subprocess.run, ["ip", "netns", "delete", machine.space], capture_output=True)
            made(stack, *machine.command("-c", ""))
        alpha, beta = pair
        ends = ["type", "veth", "peer", "name", beta.cable, "netns", beta.space]
        made(stack, "ip", "link", "add", alpha.cable, "netns", alpha.space, *ends)
        for machine in pair:
            machine.ip("link", "set", "lo", "up")
            machine.ip("address", "add", f"{machine.address}/24", "dev", machine.cable)
            machine.ip("link", "set", machine.cable, "up")
        yield pair
        for process in alpha.started + beta.started:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture(scope="module")
def shared(place, machines, database):
    """The folder of both, with the database of the server that runs on the second one, and the server's address."""
    folder = place / "shared"
    folder.mkdir()
    shutil.copy(database, folder / "mlflow.db")
    beta, address = machines[1], f"http://{machines[1].address}:5000"
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    listens = ["--host", beta.address, "--port", "5000", "--workers", "1", "--allowed-hosts", "*"]
    command = beta.command("-m", "mlflow", "server", *where, *listens)
    given = {**os.environ, **ENVIRONMENT}
    with servers.daemon(*command, log=folder / "server.log", env=given, cwd=folder):
        asks = f"import urllib.request as r; r.urlopen('{address}/health', timeout=5)"
        until(lambda: not subprocess.run(beta.command("-c", asks), capture_output=True).returncode, 240, "the server")
        yield folder, address


def sync(machine, folder, *arguments):
    return machine.start(folder, "-m", "rnnexp.tracking", "sync", *arguments)


@pytest.mark.timeout(600)
def test_a_machine_that_loses_the_server_goes_on_and_either_uploads_the_rest(machines, shared):
    alpha, beta = machines
    folder, address = shared
    sweep = folder / "sweep"
    stacked = ("-m", "hydra/launcher=stacked", "seed=0,1,2", "steps=8000", f"tracking.uri={address}", *LENGTH)
    going = alpha.start(folder, "-m", "rnnexp", *stacked)
    until((sweep / "sweep.json").exists, 240, "the sweep's own run")
    alpha.ip("link", "set", alpha.cable, "down")  # its jobs may or may not have runs by now
    until(lambda: len(list(sweep.glob("*/run.jsonl"))) == 3, 240, "the jobs")
    early = finished(sync(beta, folder, "sweep"))
    assert early.returncode == 0, early.stderr
    assert early.stdout.count("is still running (process") == early.stdout.count(" on alpha)") == 4, early.stdout
    done = finished(going)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow is not accepting data" in done.stderr and "Traceback" not in done.stderr
    assert {record["status"] for record in job_records(sweep)} == {"FINISHED"}
    assert len(unfinished(folder)) == 4
    alpha.ip("link", "set", alpha.cable, "up")
    for one in map(finished, [sync(machine, folder, "sweep") for machine in machines]):
        assert one.returncode == 0, one.stdout + one.stderr
    assert unfinished(folder) == []
    reader = client(folder / "mlflow.db")
    runs = reader.search_runs([reader.get_experiment_by_name("rnnexp").experiment_id])
    (parent,) = parents(runs)
    jobs = children(runs, parent)
    assert parent.info.status == "FINISHED" and counts(parent) == {"finished": 3}
    assert len(jobs) == len(runs) - 1 == 3 and {job.info.status for job in jobs} == {"FINISHED"}
    for number, job in enumerate(jobs):
        found = stored(folder / "mlflow.db", job.info.run_id)
        assert set(found.values()) == {1}
        assert found == logged(sweep / str(number))
        assert fewer(as_it_came(found), measured(sweep / str(number)))


@pytest.mark.timeout(600)
def test_what_a_machine_that_is_lost_has_left_is_uploaded_by_another(machines, shared):
    """Its process has a number that another one has here; that nobody holds its folder's lock says that it is gone."""
    alpha, beta = machines
    folder, address = shared
    log = folder / "lost" / "run.jsonl"
    given = ("steps=100000", f"tracking.uri={address}", "tracking.experiment=lost", "hydra.run.dir=lost")
    going = alpha.start(folder, "-m", "rnnexp", "hidden_size=5", *given)
    until(lambda: log.exists() and b'"run":' in log.read_bytes(), 240, "the run")
    going.send_signal(signal.SIGKILL)
    finished(going)
    done = finished(sync(beta, folder, "lost"))
    assert done.returncode == 0 and done.stdout.strip().endswith(", KILLED"), done.stdout + done.stderr
    reader = client(folder / "mlflow.db")
    (run,) = reader.search_runs([reader.get_experiment_by_name("lost").experiment_id])
    assert run.info.status == "KILLED" and run.data.tags["host"] == "alpha"
    assert stored(folder / "mlflow.db", run.info.run_id) == logged(folder / "lost")
