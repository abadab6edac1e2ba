"""The command ``python -m rnnexp``."""

# ruff: noqa: E402  # the first lines have to come before NumPy
import os

#: One thread for products of matrices: with several, OpenBLAS may round a large one in another way than a worker of a
#: sweep does, which has fewer. Who would rather have them sets these.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

from rnnexp.command.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
