"""The command ``python -m rnnexp``."""

# ruff: noqa: E402  # the first lines have to come before NumPy
import os

#: One thread for matrix products: with several, OpenBLAS may round a large product differently than a sweep's worker
#: with fewer threads. Variables that are already set are kept.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

from rnnexp.command.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
