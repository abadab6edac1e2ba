"""The command ``python -m rnnexp``: Hydra, checks before anything is made, errors in a person's words."""
