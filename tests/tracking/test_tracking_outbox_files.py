"""Files that are written during a run: killed writers and full disks leave whole lines, and lose nothing else."""

import errno
import json
import os

import pytest

from rnnexp import json_lines
from rnnexp.history import Point
from rnnexp.json_lines import Lines, read_lines
from rnnexp.tracking import journal
from rnnexp.tracking.journal import METRICS_FILE, Journal
from rnnexp.tracking.run_folder import RunFolder


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
    lines = Lines(tmp_path / "new" / "lines.jsonl")
    lines.add({"a": 1})
    assert lines.write()
    for left in (0, 3, 9, 12):
        disk["left"] = left
        lines.add({"left": left})
        assert not lines.write()
        assert "No space" in lines.problem
        assert read_lines(lines.path) == [{"a": 1}]
        assert lines.path.read_bytes().endswith(b"\n")
    disk["left"] = None
    assert lines.write() and not lines.problem
    assert read_lines(lines.path) == [{"a": 1}, *({"left": left} for left in (0, 3, 9, 12))]


def test_half_a_line_of_a_killed_writer_spoils_only_itself(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a":1}\n{"b":')
    lines = Lines(path)
    lines.add({"c": 3})
    assert lines.write()
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


def test_metrics_are_in_the_folder_when_their_time_has_come(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    kept, path = Journal(tmp_path), tmp_path / METRICS_FILE
    kept.add([Point("eval/loss", 0.1, 1)])
    assert not path.exists()
    now[0] += 5.1
    kept.add([])
    assert read_lines(path) == [{"metric": "eval/loss", "step": 1, "value": 0.1}]
    kept.add([Point("eval/loss", 0.2, step) for step in range(999)])
    assert len(read_lines(path)) == 1
    kept.add([Point("eval/loss", 1 / 3, 1000)])  # which makes a thousand
    assert len(read_lines(path)) == 1001
    kept.add([Point("eval/loss", 0.4, 1001)])
    assert kept.close() == ""
    assert [entry["value"] for entry in read_lines(path)[-2:]] == [1 / 3, 0.4]


def test_a_full_disk_is_told_once_and_nothing_is_lost_if_it_has_room_again(tmp_path, disk, capsys):
    kept = Journal(tmp_path)
    disk["left"] = 20
    for step in range(3):
        kept.add([Point("eval/loss", 0.5, step)])
        kept.flush()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and told[0].startswith("rnnexp: ") and "No space left" in told[0]
    assert "No space" in kept.close()
    disk["left"] = None
    assert kept.close() == ""
    assert [entry["step"] for entry in read_lines(tmp_path / METRICS_FILE)] == [0, 1, 2]


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
