"""Degrees of freedom, tests and marginal means of a fit."""
