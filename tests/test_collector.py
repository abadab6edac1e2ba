"""When garbage is collected: not while the command starts, and then without what the start left."""

import subprocess
import sys

CODE = """
import gc, sys
sys.argv[1:] = ["steps=1", "tracking=none"]
from rnnexp import __main__, process
seen = []
begin = process.begin_collection
process.begin_collection = lambda: (seen.append(gc.isenabled()), begin())
__main__.main()
seen += [gc.isenabled(), gc.get_freeze_count() > 10_000]
print(*seen, file=sys.stderr)
"""


def test_the_collector_rests_while_the_command_starts_and_then_leaves_alone_what_is_there(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False True True"


def test_what_comes_later_is_collected(tmp_path):
    code = """
import gc
from rnnexp import process
process.delay_collection()
process.begin_collection()
frozen = gc.get_freeze_count()
process.delay_collection()
process.begin_collection()
assert 0 < gc.get_freeze_count() <= frozen and gc.isenabled()
process.delay_collection()  # a second command in the same process
assert gc.isenabled()
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() >= 1
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
