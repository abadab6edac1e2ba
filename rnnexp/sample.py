"""The command ``python -m rnnexp.sample``, which Python looks for here; it is in `rnnexp.command.sample`."""

from rnnexp.process import multiply_on_one_thread

multiply_on_one_thread()

from rnnexp.command.sample import main  # noqa: E402

if __name__ == "__main__":
    main()
