"""How long a server takes for single questions: ``python experiments/scale/questions.py http://...``, as JSON."""

import json
import statistics
import sys
import time
from collections.abc import Callable

from rnnexp.tracking.searching import last_finished
from rnnexp.tracking.store import Store, open_store


def milliseconds(ask: Callable[[], object], times: int = 5) -> float:
    """The median of several tries."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def main() -> None:
    """Ask, and print."""
    store = open_store(sys.argv[1], "rnnexp")

    def page() -> object:
        newest = ["attributes.start_time DESC"]
        return store.client.search_runs([store.experiment_id], max_results=100, order_by=newest)

    def skip() -> object:
        fresh = Store(store.client, store.uri, store.experiment_id, store.experiment)
        return last_finished(fresh, "rnnexp.config_hash", "0" * 16)

    print(
        json.dumps(
            {"a job's question with skip_finished": milliseconds(skip), "a page of 100 runs": milliseconds(page)}
        )
    )


if __name__ == "__main__":
    main()
