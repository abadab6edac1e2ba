"""Files that are written during a run: killed writers and full disks leave whole lines, and lose nothing else."""

import errno
import json
import os
import time

import pytest

from rnnexp import json_lines
from rnnexp.history import Point
from rnnexp.json_lines import LineFile, read_lines
from rnnexp.tracking import run_log
from rnnexp.tracking.run_folder import RunFolder
from rnnexp.tracking.run_log import RUN_LOG, RunLog, is_complete


@pytest.fixture
def disk(monkeypatch):
    """Room for so many bytes more, as long as it is not None."""
    room, write = {"left": None}, os.write

    def limited(file, data):
        if room["left"] is None:
            return write(file, data)
        if not room["left"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[: room["left"]]
        room["left"] -= len(taken)
        return write(file, taken)

    monkeypatch.setattr(json_lines.os, "write", limited)
    return room


def test_what_a_full_disk_cut_off_is_taken_back_and_written_later(tmp_path, disk):
    lines = LineFile(tmp_path / "new" / "lines.jsonl")
    lines.add({"a": 1})
    assert lines.write() == ""
    for left in (0, 3, 9, 12):
        disk["left"] = left
        lines.add({"left": left})
        assert "No space" in lines.write()
        assert "No space" in lines.problem
        assert read_lines(lines.path) == [{"a": 1}]
        assert lines.path.read_bytes().endswith(b"\n")
    disk["left"] = None
    assert lines.write() == lines.problem == ""
    assert read_lines(lines.path) == [{"a": 1}, *({"left": left} for left in (0, 3, 9, 12))]


def test_half_a_line_of_a_killed_writer_spoils_only_itself(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a":1}\n{"b":')
    lines = LineFile(path)
    lines.add({"c": 3})
    assert lines.write() == ""
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


def test_a_new_file_replaces_one_that_is_there_with_its_first_line(tmp_path, disk):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a":1}\n')
    lines = LineFile(path, new=True)
    assert lines.write() == "" and read_lines(path) == [{"a": 1}], "nothing was added"
    lines.add({"b": 2})
    disk["left"] = 3
    assert lines.write() and read_lines(path) == []
    disk["left"] = None
    lines.add({"c": 3})
    assert lines.write() == "" and lines.write() == ""
    lines.add({"d": 4})
    assert lines.write() == "" and read_lines(path) == [{"b": 2}, {"c": 3}, {"d": 4}]


def points(*steps, name="eval/loss"):
    return [Point(name, step / 8, step) for step in steps]


def steps_in(folder, name="eval/loss"):
    entries = read_lines(folder / RUN_LOG)
    return [point[3] for entry in entries for point in entry.get("metrics", ()) if point[0] == name]


def without_mlflow(folder, resumed):
    log = RunLog(folder, resumed=resumed)
    log.put(begin={"uri": None, "tags": {}})
    return log


class Uploaded(RunLog):
    """A log whose first entries are accepted by MLflow when it is uploaded."""

    def __init__(self, folder, accepts, resumed=False):
        super().__init__(folder, resumed=resumed)
        self.accepts, self.id = accepts, "a run"
        self.put(begin={"uri": "sqlite:///x.db", "tags": {}})

    def upload(self, *, last=False):
        self.accept(min(self.accepts, len(self.pending)))


def test_metrics_are_in_the_folder_when_their_time_has_come(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_log.time, "monotonic", lambda: now[0])
    kept, path = without_mlflow(tmp_path, resumed=False), tmp_path / RUN_LOG
    kept.add([Point("eval/loss", 0.1, 1)])
    kept.flush_if_due()
    assert not path.exists()
    now[0] += 1.1
    kept.flush_if_due()  # sooner than the others, so that the parameters are seen
    begin, metrics = read_lines(path)
    assert begin == {"begin": {"log": kept.word, "uri": None, "tags": {}}}
    ((name, value, when, step),) = metrics["metrics"]
    assert (name, value, step) == ("eval/loss", 0.1, 1)
    assert abs(when / 1000 - time.time()) < 60
    kept.add(Point("eval/loss", 0.2, step) for step in range(2, 1001))
    kept.flush_if_due()
    assert len(read_lines(path)) == 2
    kept.add([Point("eval/loss", 1 / 3, 1001)])  # which makes a thousand
    kept.flush_if_due()
    assert len(read_lines(path)) == 3 and steps_in(tmp_path) == list(range(1, 1002))
    kept.add([Point("eval/loss", 0.4, 1002)])
    now[0] += 4.9
    kept.flush_if_due()
    assert steps_in(tmp_path)[-1] == 1001
    now[0] += 0.2
    kept.flush_if_due()
    assert steps_in(tmp_path)[-1] == 1002
    kept.add([Point("eval/loss", 0.4, 1003)])
    assert kept.end("FINISHED", {}) == ""
    assert steps_in(tmp_path)[-1] == 1003 and is_complete(path)


def test_runs_that_train_together_are_written_by_the_clock_and_sent_in_proportion_to_training(tmp_path, monkeypatch):
    now, sent = [100.0], []

    class Slow(RunLog):
        def upload(self, *, last=False):
            sent.append(now[0])
            now[0] += 0.05

    monkeypatch.setattr(run_log.time, "monotonic", lambda: now[0])
    logs = [Slow(tmp_path / str(number)) for number in range(20)]
    for log in logs:
        log.put(begin={"uri": "sqlite:///x.db", "tags": {}})
        log.flush()  # creates the run
        log.train_with(len(logs))
    begun, sent[:] = now[0], []
    for step in range(1000):
        now[0] += 0.1
        for log in logs:
            log.add(points(step))
            log.flush_if_due()
    training = 100.0
    assert 0.05 < 0.05 * len(sent) / training < 0.15 and sent[0] - begun > 5.0
    for log in logs:
        steps = steps_in(log.folder)
        assert steps == list(range(len(steps))) and len(steps) > 1000 - 5.0 / 0.1 - 1


def test_a_full_disk_is_reported_once_and_nothing_is_lost_if_it_has_room_again(tmp_path, disk, capsys):
    kept = without_mlflow(tmp_path, resumed=False)
    disk["left"] = 20
    for step in range(3):
        kept.add(points(step))
        kept.flush()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and told[0].startswith("rnnexp: ") and "No space left" in told[0]
    assert kept.warned
    assert "No space" in kept.end("FINISHED", {})
    disk["left"] = None
    assert kept.write() == ""
    assert steps_in(tmp_path) == [0, 1, 2]


def test_what_only_mlflow_has_is_no_loss_and_what_nobody_has_is_one(tmp_path, disk):
    for accepts, lost in ((99, ""), (1, os.strerror(errno.ENOSPC))):
        log = Uploaded(tmp_path, accepts)
        log.add(points(1))
        disk["left"] = 0
        assert log.end("FINISHED", {}) == lost
        disk["left"] = None


@pytest.mark.parametrize("accepts", range(6))
def test_what_is_acknowledged_is_not_pending_for_the_next_reader(tmp_path, accepts):
    log = Uploaded(tmp_path, accepts)
    log.put(params={"a": "1"})
    log.add(points(1, 2))
    log.write()
    log.add(points(3))
    log.end("KILLED", {"error": "why"})
    kinds = ["begin", "params", "metrics", "metrics", "tags", "end"]
    again = RunLog(tmp_path, resumed=True)
    assert [kind for entry in again.pending for kind in entry] == kinds[accepts:]
    assert again.pending == log.pending
    assert again.id == "a run" and again.params == {"a"}
    assert again.ended == log.ended and again.ended[0] == "KILLED"
    assert not is_complete(tmp_path / RUN_LOG)
    again.accept(len(again.pending))
    assert again.write() == "" and RunLog(tmp_path, resumed=True).pending == []
    assert is_complete(tmp_path / RUN_LOG)
    again.put(begin={"uri": None, "tags": {}})
    again.write()
    assert not is_complete(tmp_path / RUN_LOG) and RunLog(tmp_path, resumed=True).ended is None


def test_a_file_cut_off_anywhere_is_read_and_continued(tmp_path):
    whole = tmp_path / "whole"
    log = Uploaded(whole, accepts=2)
    for step in range(4):
        log.add(points(step))
        log.flush()
    log.end("FINISHED", {})
    data = (whole / RUN_LOG).read_bytes()
    first = data.index(b"\n")
    cut = tmp_path / "cut"
    cut.mkdir()
    for size in range(first, len(data)):
        (cut / RUN_LOG).write_bytes(data[:size])
        half = RunLog(cut, resumed=True)
        before = len(half.pending)
        assert not is_complete(cut / RUN_LOG)
        half.add(points(*range(4)))
        half.put(end=["FINISHED", 0])
        assert half.write() == ""
        assert steps_in(cut) == [0, 1, 2, 3], size
        # Nothing that comes after the cut seems to be acknowledged.
        again = RunLog(cut, resumed=True)
        assert again.pending == half.pending and len(again.pending) > before


def test_a_log_that_lost_lines_does_not_seem_to_be_ahead(tmp_path):
    log = Uploaded(tmp_path, accepts=99)
    for step in range(3):
        log.add(points(step))
        log.flush()
    log.write()
    lines = (tmp_path / RUN_LOG).read_text().splitlines(keepends=True)
    (tmp_path / RUN_LOG).write_text("".join(line for line in lines if '"metrics"' not in line))
    again = RunLog(tmp_path, resumed=True)
    again.add(points(0, 1, 2))
    again.write()
    assert [point[3] for entry in RunLog(tmp_path, resumed=True).pending for point in entry["metrics"]] == [0, 1, 2]


def test_what_comes_again_in_a_resumed_run_is_dropped(tmp_path):
    last, first = "gradient_by_lag/last", "gradient_by_lag/first"
    log = without_mlflow(tmp_path, resumed=False)
    log.add([*points(0, 10, 20), *points(1, name="solved_at_step"), *points(0, 1, 2, name=first)])
    log.add(points(0, 1, 2, name=last))
    log.end("FINISHED", {})
    again = without_mlflow(tmp_path, resumed=True)
    again.add([*points(10, 20, 30), *points(0, 1, 2, name=first), *points(3, name="new")])
    again.add([Point(last, 0.0, 0), Point(last, 5.0, 1), Point(last, 2 / 8, 2), Point(last, 1.0, 3)])
    again.end("FINISHED", {})
    assert steps_in(tmp_path) == [0, 10, 20, 30]
    assert steps_in(tmp_path, "solved_at_step") == [1] and steps_in(tmp_path, "new") == [3]
    assert steps_in(tmp_path, first) == [0, 1, 2]
    assert steps_in(tmp_path, last) == [0, 1, 2, 1, 3]
    third = without_mlflow(tmp_path, resumed=True)
    third.add([Point(last, 1 / 8, 1), Point(last, 1.0, 3)])  # as it was before the last time
    third.end("FINISHED", {})
    assert steps_in(tmp_path, last) == [0, 1, 2, 1, 3, 1]


def test_a_new_log_replaces_the_one_that_is_there(tmp_path):
    for step in (1, 2):
        log = without_mlflow(tmp_path, resumed=False)
        log.add(points(step))
        assert (tmp_path / RUN_LOG).exists() is (step == 2), "nothing is written before it is time"
        log.end("FINISHED", {})
    assert steps_in(tmp_path) == [2]
    log.discard()
    assert not (tmp_path / RUN_LOG).exists()
    assert log.write() == "" and not (tmp_path / RUN_LOG).exists()


def test_a_file_that_can_not_be_written_costs_only_itself(tmp_path):
    files = RunFolder(tmp_path / "run")

    def half(path):
        path.write_text("half a ta")
        raise OSError(errno.ENOSPC, "No space left on device")

    assert files.save("a.txt", lambda path: path.write_text("a"))
    assert not files.save("b.csv", half)
    assert not files.save("c.csv", half)
    assert files.save("d.json", lambda path: path.write_text(json.dumps(1)))
    assert [path.name for path in files.written] == ["a.txt", "d.json"]
    assert sorted(path.name for path in files.path.iterdir()) == ["a.txt", "d.json"]
    assert files.problem().endswith("(No space left on device): b.csv, c.csv missing")
