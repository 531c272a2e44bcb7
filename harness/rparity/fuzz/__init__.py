"""Random designs, answered by R and by engines: what agrees, what has a cause, what has none."""
