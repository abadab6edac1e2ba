"""Many jobs as one thing: checked before the first, accounted for after the last, whatever happens in between."""
