"""Lines that can't be written any more end nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnexp.process import outlive_readers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")

PROGRAM = """
import sys
from rnnexp.process import outlive_readers
outlive_readers()
outlive_readers()
for stream in (sys.stdout, sys.stderr):
    print("grüße", file=stream, flush=True)
    if sys.stdin.read(1) != "g":
        raise SystemExit("no word came")
    for _ in range(300):
        print("x" * 1000, file=stream)
    stream.flush()
sys.exit(7)
"""


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def started(request):
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": request.param}
    return lambda **streams: subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, **streams
    )


def test_readers_that_go_cost_nothing_but_the_lines(started):
    with started(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        for stream in (program.stdout, program.stderr):
            assert stream.readline().decode() == "grüße\n"
            stream.close()
            program.stdin.write(b"g")
            program.stdin.flush()
        assert program.wait(timeout=60) == 7


def test_readers_that_stay_get_every_line(started):
    with started(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        printed, told = program.communicate(b"gg", timeout=60)
    whole = "grüße\n" + 300 * ("x" * 1000 + "\n")
    assert (printed.decode(), told.decode(), program.returncode) == (whole, whole, 7)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_costs_nothing_but_the_lines(started):
    with Path("/dev/full").open("wb") as full, started(stdout=full, stderr=full) as program:
        program.communicate(b"gg", timeout=60)
    assert program.returncode == 7


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"gr\xfc\xdfe"), ("latin-1", "grüße"), ("utf-8", "grüße")])
def test_what_a_terminal_can_not_show_is_written_as_in_python(encoding, shown):
    text = "from rnnexp.process import outlive_readers, say; outlive_readers(); say('grüße', '한글\\x1b[31m\\n')"
    text += "; say('grüße', error=True); raise SystemExit('한')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True)
    korean, last = ("한글", "한") if encoding == "utf-8" else (r"\ud55c\uae00", r"\ud55c")
    assert done.stdout.decode(encoding).splitlines() == [shown, korean + r"\x1b[31m\n"]
    assert done.stderr.decode(encoding).splitlines() == [shown, last]
    assert done.returncode == 1


def test_somebodys_own_streams_stay(capsys):
    before = sys.stdout, sys.stderr
    outlive_readers()
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_without_a_stream_there_is_nothing_to_do(monkeypatch, name):
    monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, f"__{name}__", None)
    outlive_readers()
    assert getattr(sys, name) is None


CLOSED = """
import sys
from pathlib import Path
from rnnexp.process import outlive_readers
outlive_readers()
with open(sys.argv[1], "w") as file:
    print("to nowhere", flush=True)
    print("to nowhere", file=sys.stderr, flush=True)
    file.write(f"{file.fileno() > 2} {sys.stdin.read()!r}")
"""


def test_no_file_takes_the_place_of_a_stream_that_was_closed(tmp_path):
    line = f'exec "{sys.executable}" -c "$1" "$2" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", line, "sh", CLOSED, str(tmp_path / "file")])
    assert done.returncode == 0 and (tmp_path / "file").read_text() == "True ''"
