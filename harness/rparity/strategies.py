"""Hypothesis strategies for random designs, to test a port: see `rparity.fuzz.strategies`."""

from rparity.fuzz.strategies import covariates, designs, factors, groupings, sizes

__all__ = ["covariates", "designs", "factors", "groupings", "sizes"]
