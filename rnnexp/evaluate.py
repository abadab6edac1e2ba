"""The command ``python -m rnnexp.evaluate``, which Python looks for here; it is in `rnnexp.command.evaluate`.

The function `rnnexp.evaluate` has the same name: nothing imports this module.
"""

from rnnexp.process import multiply_on_one_thread

multiply_on_one_thread()

from rnnexp.command.evaluate import main  # noqa: E402

if __name__ == "__main__":
    main()
