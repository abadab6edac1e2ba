"""Slurm and PostgreSQL on this machine alone, without systemd: in one folder, on free ports, stopped at the end."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

SLURM_CONF = """
ClusterName=rnnexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MaxArraySize=20
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=60 State=UP
"""


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(true, seconds, what):
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.1)
    return answer


@contextmanager
def daemon(*command, log, stop=signal.SIGTERM, **options):
    """A process in the foreground, in a session of its own; its process, which is ended at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
    try:
        yield process
    finally:
        end(process, stop)


def end(process, number=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def finished(process, seconds=400):
    out, err = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def said(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=30, **options).stdout.strip()


def may_unshare():
    """Whether a process may have other folders than this one: not in most containers."""
    return (
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
        == 0
    )


@contextmanager
def slurm(folder, unshared):
    """munged, slurmctld and slurmd for one node; the environment in which Slurm's programs find them.

    All but the folder `unshared` is shared with the node, where that can be arranged.
    """
    folder.chmod(0o711)  # munged's socket must be in reach of everybody
    munge = folder / "munge"
    munge.mkdir(mode=0o711)
    key = munge / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(SLURM_CONF.format(host=host, ports=free_ports(2), folder=folder))
    environment = {"SLURM_CONF": str(configuration)}
    every = {**os.environ, **environment}
    files = [
        f"--{name}={munge / path}" for name, path in [("key-file", "key"), ("socket", "socket"), ("pid-file", "pid")]
    ]
    with ExitStack() as stack:
        stack.enter_context(
            daemon("munged", "--foreground", *files, f"--seed-file={munge / 'seed'}", log=munge / "log")
        )
        until((munge / "socket").exists, 240, "munged's socket")
        stack.enter_context(daemon("slurmctld", "-D", "-f", configuration, log=folder / "slurmctld.log", env=every))
        node = ["slurmd", "-D", "-f", configuration, "-N", host]
        if may_unshare():
            apart = ["sh", "-c", f'mount -t tmpfs none {unshared} && exec "$@"', "sh"]
            node = ["unshare", "--mount", *apart, *node]
        stack.enter_context(daemon(*node, log=folder / "slurmd.log", env=every))
        until(lambda: said("sinfo", "-h", "-o", "%t", env=every) == "idle", 240, "an idle node")
        yield environment
        subprocess.run(["scancel", "--state=RUNNING"], env=every, timeout=30)
        subprocess.run(["scancel", "--state=PENDING"], env=every, timeout=30)
        until(lambda: not said("squeue", "-h", env=every), 40, "the end of all jobs")


#: What PostgreSQL answers before it is ready, or MLflow has made its tables.
NOT_YET = ("does not exist", "refused", "starting up", "recovery", "not yet accepting")


class Postgres:
    """A server of PostgreSQL, with a database `mlflow` of the user `postgres`, which listens on loopback only.

    It can be killed, and started again on the same port.
    """

    def __init__(self, folder):
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.folder, self.log = folder / "data", folder / "postgres.log"
        (self.port,) = free_ports(1)
        self.folder.mkdir()
        folder.chmod(0o711)
        shutil.chown(self.folder, "postgres", "postgres")
        self.folder.chmod(0o700)
        given = ["-D", self.folder, "--auth=trust", "--username=postgres", "--no-sync"]
        self.as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        with self.log.open("ab") as output:
            subprocess.run(
                [*self.as_postgres, self.programs / "initdb", *given], check=True, stdout=output, stderr=output, cwd="/"
            )
        self.process = None

    @property
    def uri(self):
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/mlflow"

    def start(self):
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=on"]
        command = [*self.as_postgres, self.programs / "postgres", "-D", self.folder, "-p", str(self.port), *settings]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/", start_new_session=True)
        until(lambda: self.sql("select 1") == "1", 240, "an answer of PostgreSQL")

    def sql(self, text, database="postgres"):
        address = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        done = subprocess.run([self.programs / "psql", "-qtA", "-c", text, address], capture_output=True, text=True)
        assert done.returncode == 0 or any(word in done.stderr for word in NOT_YET), done.stderr
        return done.stdout.strip()

    def kill(self):
        """End it with all its processes, as a machine that stops does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def stop(self):
        if self.process is not None:
            end(self.process, signal.SIGINT)


@contextmanager
def postgres(folder):
    server = Postgres(folder)
    try:
        server.start()
        server.sql("create database mlflow")
        yield server
    finally:
        server.stop()


def answers(address):
    """Whether a server answers there."""
    with suppress(OSError):
        urllib.request.urlopen(address, timeout=5).close()
        return True
    return False
