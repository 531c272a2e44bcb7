"""Simulated responses and refits: `bootmer` and `pbmodcomp`."""
