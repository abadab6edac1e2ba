"""The command ``python -m rnnexp``: Hydra, checks before anything is made, errors in a person's words."""

from contextlib import suppress

import hydra

#: Hydra 1.4 can be tried (`make pythons`) while it is a candidate.
HYDRA_1_3 = hydra.__version__.startswith("1.3.")

if HYDRA_1_3:
    with suppress(ModuleNotFoundError):
        from rnnexp.command import hydra_patches

        hydra_patches.install()
