"""One file a contender: ``make(cell, shape, weights)`` returns a function that trains one step and returns its loss."""
