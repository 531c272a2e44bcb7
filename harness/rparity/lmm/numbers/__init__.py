"""Numerics that know nothing of models: linear algebra, roots, distributions, memory."""
