"""The causes of disagreements: each is named by an experiment, and is what a ledger entry names."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why two answers differ; no cause is the empty string."""

    # One of the two is right, the other is not accurate.
    STOPPED_EARLY = "stopped early"
    CONDITIONING = "conditioning"
    UNSTABLE = "unstable arithmetic"
    CANCELLATION = "cancellation"
    SCALE = "scale of the predictors"
    ROUNDED_DATA = "data rounded to double"
    ROUNDED_FIGURE = "rounding of the published figure"
    MONTE_CARLO = "Monte Carlo"
    PROFILE_FAILED = "profile failed in R"
    DEFAULTS = "default settings"
    NUMERICAL = "numerical derivatives"
    QUANTILE = "quantile of 1.96"
    # They compute different things.
    STANDARD_ERROR = "formula of the standard error"
    ML_OR_REML = "ML or REML"
    PARAMETRISATION = "parametrisation"
    PARAMETER_COUNT = "count of parameters"
    UNWEIGHTED = "likelihood without prior weights"
    UNDEFINED = "left undefined"
    R_SQUARED = "definition of R squared"
    WEIGHTED_NOISE = "noise scaled by prior weights"
    UNADJUSTED = "covariance without adjustment"
    SATTERTHWAITE = "Satterthwaite for Kenward and Roger"
    SCALE_KNOWN = "residual variance taken as known"
    RESIDUAL_DF = "residual degrees of freedom"
    TYPE_THREE = "contrasts of type III"
    # Versions of lme4 differ (`rparity.lmm.lme4`).
    REFIT = "refit degrees of freedom"
    NESTING = "names of nested groups"
    SD_FIRST = "order of the variance parameters"
    # Random designs (`rparity.fuzz`) can also have these.
    SEVERAL_MINIMA = "several minima"
    SATURATED = "no unique optimum"
    NORMAL_EQUATIONS = "normal equations"
