"""The command ``python -m rnnexp``."""

from rnnexp.process import multiply_on_one_thread

multiply_on_one_thread()

from rnnexp.command.entry import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
