"""The command ``python -m rnnexp``: Hydra, checks before anything is made, errors in a person's words."""

from contextlib import suppress

with suppress(ModuleNotFoundError):
    from rnnexp.command import hydra_patches

    hydra_patches.install()
