"""The command ``python -m rnnexp.tasks``, which Python looks for here; it is in `rnnexp.command.tasks`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("rnnexp.command.tasks", run_name="__main__", alter_sys=True)
