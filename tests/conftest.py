import os
from collections import Counter

import pytest

# As the command does, before NumPy is loaded: waiting threads would take several times what small products take.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a function's cases, those beyond the number that its marker `quick` gives are thorough."""
    seen = Counter()
    for item in items:
        if marker := item.get_closest_marker("quick"):
            function = item.nodeid.partition("[")[0]
            seen[function] += 1
            if seen[function] > marker.args[0]:
                item.add_marker("thorough")
