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
    # They compute different things.
    STANDARD_ERROR = "formula of the standard error"
    ML_OR_REML = "ML or REML"
    PARAMETRISATION = "parametrisation"
    PARAMETER_COUNT = "count of parameters"
    UNDEFINED = "left undefined"
    R_SQUARED = "definition of R squared"
    WEIGHTED_NOISE = "noise scaled by prior weights"
    # Versions of lme4 differ (`rparity.lmm.lme4`).
    REFIT = "refit degrees of freedom"
    NESTING = "names of nested groups"
    SD_FIRST = "order of the variance parameters"
    # Random designs (`rparity.fuzz`) can also have these.
    SEVERAL_MINIMA = "several minima"
    SATURATED = "no unique optimum"
    NORMAL_EQUATIONS = "normal equations"
    # Functions of R and Python with other defaults (the atlas).
    DIVISOR = "divisor"
    CONTINUITY = "correction for continuity"
    TIES = "treatment of ties"
    EXACT = "exact or asymptotic"
    QUANTILE_TYPE = "type of quantile"
    TRANSFORM = "transform of the interval"
    SIDES = "one- or two-sided"
    VARIANCES = "equal variances or not"
    DEFINITION = "definition of the statistic"
    SMALL_SAMPLE = "small-sample correction"
    APPROXIMATION = "approximation"
    INTERCEPT = "no intercept"
    SUMS_OF_SQUARES = "type of the sums of squares"
    STANDARDISED = "standardised or not"
    MISSING_VALUES = "missing values"
    ROUNDING_RULE = "rule of rounding"
    SIGN = "sign"
    SCALE_OR_RATE = "scale or rate"
    STARTING_VALUES = "initial conditions"
    RANDOM_STREAM = "random stream"
    TUNING = "tuning constant"
    ORDER = "order"
    LOGARITHM = "logarithm"
    PERCENT = "percent"
    ANGLE = "degrees or radians"
    ARGUMENTS = "order of the arguments"
    PENALTY = "penalty"
    DISPERSION = "dispersion"
    LINK = "link function"
