"""Matrices are multiplied on one thread, so that a number does not depend on how many a process has."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("threadpoolctl")
PROGRAM = """
import rnnexp.__main__
import numpy
from threadpoolctl import threadpool_info
print({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""


def threads(**given):
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**kept, **given}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_command_has_one_thread_for_products():
    assert threads() == "{1}"


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_who_wants_more_says_so():
    assert threads(OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2", OMP_NUM_THREADS="2") == "{2}"
