"""The matrices of a model from a formula and data, and R's names of what they give."""
