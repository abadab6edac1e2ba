"""A folder belongs to one process at a time, and holds one record."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.tracking import claims
from rnnexp.tracking.claims import LOCK_FILE, StillRunning, claim, clear_record, holds_record, is_claimed, release
from rnnexp.tracking.dead_runs import process_tags
from rnnexp.tracking.restarts import SCHEDULERS, scheduler_job, started_again
from rnnexp.tracking.run_log import RUN_LOG, RunLog

HOLD = "import sys, pathlib; from rnnexp.tracking.claims import claim; claim(pathlib.Path(sys.argv[1])); "
HOLD += "print('held', flush=True); sys.stdin.read()"
locks = pytest.mark.skipif(sys.platform == "win32", reason="no locks")


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def without_locks(monkeypatch):
    def refuse(number, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


@locks
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_folder_is_held_until_the_process_ends_however_it_does(tmp_path, holder, end):
    for _ in range(2):
        with pytest.raises(StillRunning, match=f"is still running .process {holder.pid} on {socket.gethostname()}"):
            claim(tmp_path)
    assert is_claimed(tmp_path)
    holder.send_signal(end)
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists() and not is_claimed(tmp_path)
    claim(tmp_path)
    claim(tmp_path)
    assert json.loads((tmp_path / LOCK_FILE).read_text()) == process_tags()
    assert not is_claimed(tmp_path)
    release(tmp_path)
    release(tmp_path)
    assert list(tmp_path.iterdir()) == []


@locks
def test_a_lock_that_its_owner_has_just_removed_is_no_lock(tmp_path, monkeypatch):
    real, calls = claims._lock, []

    def lock(number):
        calls.append(number)
        if len(calls) == 1:
            (tmp_path / LOCK_FILE).unlink()
        return real(number)

    monkeypatch.setattr(claims, "_lock", lock)
    claim(tmp_path)
    assert len(calls) == 2 and (tmp_path / LOCK_FILE).exists()
    release(tmp_path)


@locks
def test_without_locks_the_process_that_is_named_counts(tmp_path, without_locks):
    claim(tmp_path)
    claims._held.clear()  # as another process sees it
    with pytest.raises(StillRunning, match="may still be running"):
        claim(tmp_path)
    file = tmp_path / LOCK_FILE
    elsewhere = {**process_tags(), "host": "elsewhere"}
    for content in ("", json.dumps(elsewhere)):
        file.write_text(content)
        with pytest.raises(StillRunning, match="may still be running") as refused:
            claim(tmp_path)
        assert refused.value.hint == f"this file system has no locks: if it has ended, delete {file}"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file.write_text(json.dumps({"host": socket.gethostname(), "pid": str(gone.pid)}))
    claim(tmp_path)
    assert json.loads(file.read_text()) == process_tags()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    release(tmp_path)


MOUNTS = """
36 35 0:45 / /a rw,noatime shared:1 - nfs4 host:/x rw,vers=4.2,local_lock=none
37 35 0:46 / /b rw - nfs host:/x rw,vers=3,nolock,local_lock=all
38 35 0:47 / /c rw,nosuid shared:2 master:3 - fuse.sshfs host: rw,user_id=0
39 35 0:48 / /d rw - lustre host:/x rw,flock
"""


@locks
def test_locks_that_other_machines_do_not_see_are_none(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.strip())
    local = {minor: claims._locks_are_local(os.makedev(0, minor), mounts) for minor in range(45, 50)}
    assert local == {45: False, 46: True, 47: True, 48: False, 49: False}
    monkeypatch.setattr(claims, "_locks_are_local", lambda device: True)
    (tmp_path / LOCK_FILE).write_text(json.dumps({**process_tags(), "host": "elsewhere"}))
    with pytest.raises(StillRunning, match="may still be running"):
        claim(tmp_path)


def test_a_folder_that_can_not_be_made_is_an_invalid_value(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValue, match=r"hydra\.sweep\.dir must be a writable folder"):
        claim(tmp_path / "file" / "below", "hydra.sweep.dir")


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: used._replace(free=4096))
    for key, hint in (("hydra.run.dir", "give hydra.run.dir="), ("resume", "leave resume out")):
        with pytest.raises(UserError, match=r"no space is left on the disk of .*: 4 kB") as refused:
            claim(tmp_path / "outputs" / "run", key)
        assert hint in refused.value.hint
    assert not list(tmp_path.iterdir())
    claim(tmp_path)  # what is recorded there can still be uploaded
    monkeypatch.setattr(shutil, "disk_usage", lambda place: used._replace(total=0, free=0))  # not told
    claim(tmp_path / "run", "hydra.run.dir")
    release(tmp_path / "run")
    release(tmp_path)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


OWN = ("metrics.csv", "config.yaml", "checkpoints/best.npz", "checkpoints/finished", "checkpoints/step-000000003.npz")
LISTED = ("spectrum.png", "own_code/mine.py", "own_code/pkg/__init__.py", "sample.txt")
STRANGERS = (
    "notes.txt",
    "checkpoints/theirs.pt",
    "own_code/todo.md",
    "jobs/plan.txt",
    "model/weights.pt",
    "data/a.csv",
)


def test_a_record_is_cleared_whole_and_the_files_of_others_stay(tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside.txt"
    put(folder, *OWN, *LISTED, *STRANGERS)
    outside.touch()
    log = RunLog(folder)
    code = json.dumps({"mine.py": "1", "pkg/__init__.py": "2", "numpy": "2.4"})
    log.put(begin={"uri": None, "tags": {"rnnexp.code": code}})
    log.put(artifacts=["spectrum.png", "sample.txt", "../outside.txt", "gone.txt"])
    log.write()
    clear_record(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == set(STRANGERS) and outside.exists()
    assert not holds_record(folder)


def test_a_sweep_is_cleared_with_its_jobs_unless_one_is_running(tmp_path):
    put(tmp_path, "sweep.json", "jobs/000000.jsonl", "0/run.jsonl", "far/away/job.txt", "far/away/run.jsonl")
    put(tmp_path, "7/run.jsonl", "0/mine.txt", "stop", "sweep.csv")
    if sys.platform != "win32":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "0")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StillRunning):
            clear_record(tmp_path)
        assert holds_record(tmp_path)
        process.kill()
        process.communicate()
    clear_record(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"7/run.jsonl", "0/mine.txt"}


@pytest.mark.parametrize(
    "name", [RUN_LOG, "metrics.jsonl", "outbox.jsonl", "sweep.json", "jobs/000003.jsonl", *OWN[2:]]
)
def test_a_part_of_a_record_is_one(tmp_path, name):
    put(tmp_path, *STRANGERS, "config.yaml", LOCK_FILE)
    assert not holds_record(tmp_path)
    put(tmp_path, name)
    assert holds_record(tmp_path)


JOBS = {
    "slurm": ({"SLURM_JOB_ID": "5"}, {"SLURM_RESTART_COUNT": "0"}, {"SLURM_RESTART_COUNT": "2"}),
    "slurm array": (
        {"SLURM_JOB_ID": "5", "SLURM_ARRAY_JOB_ID": "4", "SLURM_ARRAY_TASK_ID": "0"},
        {},
        {"SLURM_RESTART_COUNT": "1"},
    ),
    "submitit": ({"SLURM_JOB_ID": "5"}, {}, {"SUBMITIT_EXECUTOR": "slurm"}),
    "submitit here": ({"SUBMITIT_LOCAL_JOB_ID": "8"}, {}, {"SUBMITIT_EXECUTOR": "local"}),
    "lsf": ({"LSB_JOBID": "5", "LSB_JOBINDEX": "1"}, {"LSB_RESTART": "N"}, {"LSB_RESTART": "Y"}),
    "pbs": ({"PBS_JOBID": "5.host"}, {"PBS_ENVIRONMENT": "PBS_INTERACTIVE"}, {"PBS_ENVIRONMENT": "PBS_BATCH"}),
    "sge": ({"JOB_ID": "5", "SGE_TASK_ID": "undefined"}, {"RESTARTED": "0"}, {"RESTARTED": "1"}),
    "aws": ({"AWS_BATCH_JOB_ID": "a-b"}, {"AWS_BATCH_JOB_ATTEMPT": "1"}, {"AWS_BATCH_JOB_ATTEMPT": "2"}),
    "google": ({"BATCH_JOB_UID": "u"}, {"BATCH_TASK_RETRY_ATTEMPT": "0"}, {"BATCH_TASK_RETRY_ATTEMPT": "1"}),
    "torchrun": ({"TORCHELASTIC_RUN_ID": "u"}, {}, {"TORCHELASTIC_RESTART_COUNT": "1"}),
}


@pytest.mark.parametrize(("job", "first", "further"), JOBS.values(), ids=JOBS)
def test_a_further_start_of_the_same_job_and_of_no_other_is_one(job, first, further):
    recorded = scheduler_job({**job, **first})
    assert recorded == scheduler_job({**job, **further}) != ""
    assert not started_again(recorded, {**job, **first})
    assert started_again(recorded, {**job, **further})
    for name in job:
        assert not started_again(recorded, {**job, **further, name: "other"})
    for other in ("", "slurm 77"):
        assert not started_again(other, {**job, **further})


def test_every_batch_system_is_tried():
    assert {scheduler_job(job).split()[0] for job, *_ in JOBS.values()} == {one.name for one in SCHEDULERS}


@pytest.mark.parametrize(("value", "again"), [("1", True), ("true", True), ("0", False), ("", False), ("no", False)])
def test_the_person_can_say_it_where_the_batch_system_does_not(value, again):
    assert started_again("", {"RNNEXP_RESTARTED": value}) is again
    assert scheduler_job({}) == "" and not started_again("", {})


def test_a_log_of_two_runs_is_not_taken_for_one(tmp_path):
    for name in "ab":
        log = RunLog(tmp_path / name)
        log.put(begin={"uri": None, "tags": {}})
        log.write()
    again = RunLog(tmp_path / "a", resumed=True)
    again.put(begin={"uri": None, "tags": {}})
    again.write()
    assert len(RunLog(tmp_path / "a", resumed=True).pending) == 2
    one, other = ((tmp_path / name / RUN_LOG).read_bytes() for name in "ab")
    earlier = b'{"begin":{"uri":null,"tags":{}}}\n'
    for both in (one + other, other + one, earlier + earlier, earlier + one, one + earlier):
        (tmp_path / "a" / RUN_LOG).write_bytes(both)
        with pytest.raises(UserError, match="holds the records of two runs"):
            RunLog(tmp_path / "a", resumed=True)
    (tmp_path / "a" / RUN_LOG).write_bytes(earlier)
    log = RunLog(tmp_path / "a", resumed=True)
    log.put(begin={"uri": None, "tags": {}})
    log.write()
    assert len(RunLog(tmp_path / "a", resumed=True).pending) == 2


def test_a_lock_is_not_handed_to_a_forked_process(tmp_path):
    claim(tmp_path)
    child = os.fork()
    if not child:
        claims.release_all()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK_FILE).exists()
    release(tmp_path)
