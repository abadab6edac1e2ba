"""The garbage collector's work while the command starts: half a second spent on what imports leave, which all stays."""

import gc

#: Net new objects after which the youngest are gone through; Python's own 700 would make a thousand metric values cost
#: a pass through everything that matplotlib has, now and then: 40 ms.
OBJECTS = 100_000

_begun = False


def wait() -> None:
    """Collect nothing until `begin`: imports make hundreds of thousands of objects, and hardly any garbage."""
    if not _begun:
        gc.disable()


def begin() -> None:
    """Collect again, and leave alone for good what is there by now. It does so once in a process.

    MLflow alone has 300,000 objects; to go through them again and again would cost a tenth of a small job.
    """
    global _begun
    if not _begun:
        _begun = True
        gc.freeze()
        gc.set_threshold(OBJECTS)
        gc.enable()
