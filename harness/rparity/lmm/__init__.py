"""The mixed models of lme4 in Python: formula, matrices, structure, deviance, fit, bootstrap."""
