"""The mixed models of lme4 in Python, with linear models: `lmer`, `lm`, `lmlist` and their fits."""
