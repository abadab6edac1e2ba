"""rnnexp: a laboratory bench for recurrent networks in NumPy."""

__version__ = "0.1.0"
