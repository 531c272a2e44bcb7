"""Why does mine differ? Try other arguments and other definitions until the digits jump."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.compare import digits
from rparity.diagnosis.causes import Cause
from rparity.errors import UsageError

# An alternative counts if so many digits agree with it, and so many more than before. A chance
# agreement of eight digits has a probability of about 1e-8 for each alternative that is tried.
ENOUGH, JUMP = 8.0, 3.0
LARGEST = 1e6  # size of a sample
Values = NDArray[np.float64]

QUANTILE_METHODS = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
)
# Arguments of functions by name: other values of theirs, and the cause if one of them agrees.
ARGUMENTS: Mapping[str, tuple[Cause, Sequence[object]]] = {
    "ddof": (Cause.DIVISOR, (0, 1)),
    "adjusted": (Cause.DIVISOR, (True, False)),
    "bias": (Cause.DIVISOR, (True, False)),
    "correction": (Cause.CONTINUITY, (True, False, 0, 1)),
    "correct": (Cause.CONTINUITY, (True, False)),
    "use_continuity": (Cause.CONTINUITY, (True, False)),
    "alternative": (Cause.SIDES, ("two-sided", "less", "greater")),
    "equal_var": (Cause.VARIANCES, (True, False)),
    "usevar": (Cause.VARIANCES, ("pooled", "unequal")),
    "use_var": (Cause.VARIANCES, ("equal", "unequal")),
    "exact": (Cause.EXACT, (True, False)),
    "use_f": (Cause.EXACT, (True, False)),
    "use_t": (Cause.EXACT, (True, False)),
    "ties": (Cause.TIES, ("breslow", "efron")),
    "variant": (Cause.TIES, ("b", "c")),
    "zero_method": (Cause.TIES, ("wilcox", "pratt", "zsplit")),
    "nan_policy": (Cause.MISSING_VALUES, ("propagate", "omit")),
    "skipna": (Cause.MISSING_VALUES, (True, False)),
    "center": (Cause.DEFINITION, ("mean", "median", "trimmed")),
    "robust": (Cause.DEFINITION, (True, False)),
    "adjust": (Cause.STARTING_VALUES, (True, False)),
    "bc_type": (Cause.STARTING_VALUES, ("not-a-knot", "natural", "clamped")),
    "typ": (Cause.SUMS_OF_SQUARES, (1, 2, 3)),
    "cov_type": (Cause.SMALL_SAMPLE, ("nonrobust", "HC0", "HC1", "HC2", "HC3")),
    "fisher": (Cause.DEFINITION, (True, False)),
    "seasonal_deg": (Cause.TUNING, (0, 1)),
}
# Names that mean different things in different functions: what a value stands for.
METHODS: Mapping[Cause, Sequence[object]] = {
    Cause.QUANTILE_TYPE: QUANTILE_METHODS,
    Cause.TIES: ("average", "min", "max", "dense", "ordinal"),
    Cause.EXACT: ("exact", "asymptotic", "approx", "exact-c", "score"),
    Cause.TRANSFORM: ("normal", "wilson", "wilsoncc", "beta", "jeffreys", "agresti_coull"),
    Cause.DIVISOR: ("ywadjusted", "ywm", "ldb", "mle", "ols"),
    Cause.DEFINITION: (
        *("single", "complete", "average", "ward", "holm", "holm-sidak", "bonferroni", "fdr_bh"),
        *("fdr_by", "bh", "by", "pearson", "spearman", "kendall"),
    ),
}
FREE = ("method", "metric", "kind")


@dataclass(frozen=True)
class Transform:
    """A change of Python's values that another definition would cause.

    If it depends on the size of the sample n, `size` gives n for the ratio of R's value to
    Python's, so that n need not be known.
    """

    cause: Cause
    says: str
    apply: Callable[[Values, int], Values]
    size: Callable[[np.float64], np.float64] | None = None


# Square roots and logarithms of negative values are NaN: they agree with nothing.
TRANSFORMS: Sequence[Transform] = (
    Transform(
        Cause.DIVISOR, "times n / (n - 1)", lambda v, n: v * (n / (n - 1)), lambda q: q / (q - 1)
    ),
    Transform(
        Cause.DIVISOR, "times (n - 1) / n", lambda v, n: v * ((n - 1) / n), lambda q: 1 / (1 - q)
    ),
    Transform(
        Cause.DIVISOR,
        "times the root of n / (n - 1)",
        lambda v, n: v * np.sqrt(n / (n - 1)),
        lambda q: q**2 / (q**2 - 1),
    ),
    Transform(
        Cause.DIVISOR,
        "times the root of (n - 1) / n",
        lambda v, n: v * np.sqrt((n - 1) / n),
        lambda q: 1 / (1 - q**2),
    ),
    Transform(Cause.DEFINITION, "squared", lambda v, _n: v**2),
    Transform(Cause.DEFINITION, "its square root", lambda v, _n: np.sqrt(v)),
    Transform(Cause.SIDES, "doubled", lambda v, _n: 2 * v),
    Transform(Cause.SIDES, "halved", lambda v, _n: v / 2),
    Transform(Cause.SIDES, "taken from one", lambda v, _n: 1 - v),
    Transform(Cause.SIDES, "halved and taken from one", lambda v, _n: 1 - v / 2),
    Transform(Cause.SIGN, "with the other sign", lambda v, _n: -v),
    Transform(Cause.SIGN, "without its sign", lambda v, _n: np.abs(v)),
    Transform(Cause.SCALE_OR_RATE, "its reciprocal", lambda v, _n: 1 / v),
    Transform(Cause.LOGARITHM, "its natural logarithm", lambda v, _n: np.log(v)),
    Transform(Cause.LOGARITHM, "its exponential", lambda v, _n: np.exp(v)),
    Transform(Cause.LOGARITHM, "divided by ln 10", lambda v, _n: v / np.log(10)),
    Transform(Cause.LOGARITHM, "times ln 10", lambda v, _n: v * np.log(10)),
    Transform(Cause.LOGARITHM, "divided by ln 2", lambda v, _n: v / np.log(2)),
    Transform(Cause.LOGARITHM, "times ln 2", lambda v, _n: v * np.log(2)),
    Transform(Cause.STANDARDISED, "times 1.4826", lambda v, _n: v * 1.4826),
    Transform(Cause.STANDARDISED, "divided by 1.4826", lambda v, _n: v / 1.4826),
    Transform(Cause.PERCENT, "times 100", lambda v, _n: v * 100),
    Transform(Cause.PERCENT, "divided by 100", lambda v, _n: v / 100),
    Transform(Cause.PARAMETER_COUNT, "plus 2", lambda v, _n: v + 2),
    Transform(Cause.PARAMETER_COUNT, "plus 1", lambda v, _n: v + 1),
    Transform(Cause.PARAMETER_COUNT, "minus 1", lambda v, _n: v - 1),
    Transform(Cause.ANGLE, "in degrees", lambda v, _n: np.degrees(v)),
    Transform(Cause.ANGLE, "in radians", lambda v, _n: np.radians(v)),
    Transform(Cause.ORDER, "in the reverse order", lambda v, _n: v[::-1]),
)


@dataclass(frozen=True)
class Candidate:
    """A change that makes Python's value agree with R's.

    `digits` are the fewest digits that agree with the change, and `before` without it.
    """

    cause: str
    says: str
    digits: float
    before: float


@dataclass(frozen=True)
class Diagnosis:
    """What the alternatives showed. `candidates` is empty if none explains the difference.

    `before` are the digits that agree as it is, and `tried` is the number of alternatives.
    """

    before: float
    candidates: tuple[Candidate, ...]
    tried: int

    def __str__(self) -> str:
        first = f"{self.before:.1f} digits agree with R."
        if self.before >= ENOUGH:
            return f"{first} There is nothing to explain."
        if not self.candidates:
            return f"{first} None of {self.tried} alternatives explains the difference."
        lines = [f"  {c.cause}: {c.says} ({c.digits:.1f} digits)" for c in self.candidates]
        which = "this change" if len(lines) == 1 else "one of these changes"
        return "\n".join([first, f"With {which} they agree:", *lines])


def diagnose(
    r: object, function: Callable[..., Any], /, *arguments: Any, **options: Any
) -> Diagnosis:
    """Find the argument or the definition because of which Python's value differs from R's.

    Python's function is called again with other values of the arguments that it has: other
    divisors, corrections, alternatives, types of quantile and so on, one or two at a time, and with
    two positional arguments swapped. A change with which the call fails is not combined. Python's
    value is also changed as another definition would change it: doubled, squared, its logarithm,
    and so on. A change is named only if at least eight digits then agree, and at least three more
    than before.

    Parameters
    ----------
    r : number, array, Series or DataFrame
        R's value.
    function : callable
        The Python function. If it returns more than the value, pass a function that picks it,
        such as ``lambda *a, **k: stats.ttest_ind(*a, **k).pvalue`` with `options` for the rest.
    *arguments, **options
        The arguments of the call.

    Returns
    -------
    Diagnosis
        The changes, those with fewest arguments first. `print()` it.

    Raises
    ------
    UsageError
        If R's value holds no numbers.

    Examples
    --------
    >>> import numpy as np, rparity
    >>> print(rparity.diagnose(1.5811388300841898, np.std, [1, 2, 3, 4, 5]))
    1.0 digits agree with R.
    With one of these changes they agree:
      divisor: ddof=1 (15.9 digits)
      divisor: the value times the root of n / (n - 1), n = 5 (15.9 digits)
    """
    expected = _numbers(r)
    if expected is None or not expected.size:
        raise UsageError(f"R's value must be numbers, and is {type(r).__name__}.")
    mine = _called(function, arguments, options)
    before = _agreement(mine, expected)
    if before >= ENOUGH:
        return Diagnosis(before, (), 0)
    found: list[Candidate] = []
    tried = 0
    changes = [*_other_arguments(function, arguments, options)]
    for size in (1, 2):
        usable: list[_Change] = []
        for group in combinations(changes, size):
            if size == 2 and group[0].names & group[1].names:
                continue
            tried += 1
            given = next((c.arguments for c in group if c.arguments is not None), arguments)
            changed = _called(
                function, given, options | {k: v for c in group for k, v in c.options}
            )
            if changed is not None:
                usable += group
            after = _agreement(changed, expected)
            if explains(before, after):
                causes = dict.fromkeys(change.cause for change in group)
                says = " and ".join(change.says for change in group)
                found.append(Candidate(" and ".join(causes), says, after, before))
        if found:
            break
        changes = usable  # not those with which the call fails
    if mine is not None:
        tried += len(TRANSFORMS) + 1
        found += (
            replace(each, says=f"the value {each.says}")
            for each in transformed(mine.ravel(), expected.ravel())
        )
    return Diagnosis(before, tuple(found), tried)


def transformed(mine: Values, expected: Values, enough: float = ENOUGH) -> list[Candidate]:
    """Return the changes of Python's values that make them R's. Both have one dimension.

    `enough` digits must agree after a change. A change whose n is found from the values needs
    more: the nearest n alone doubles the digits of any two values.
    """
    before = _agreement(mine, expected)
    found = []
    if mine.shape != expected.shape or not mine.size:
        return []
    beyond_chance = max(ENOUGH, 2 * before + JUMP)
    with np.errstate(all="ignore"):
        largest = np.argmax(np.nan_to_num(np.abs(expected)))
        ratio = np.float64(expected[largest] / mine[largest])
        for change in TRANSFORMS:
            n, says = 2, change.says
            if change.size is not None:
                size = change.size(ratio) if ratio not in (0.0, 1.0) else np.nan
                if not 3.0 <= np.round(size) <= LARGEST:
                    continue
                n = int(np.round(size))
                says = f"{says}, n = {n}"
            after = _agreement(change.apply(mine, n), expected)
            if explains(before, after, enough if change.size is None else beyond_chance):
                found.append(Candidate(change.cause, says, after, before))
        others = np.sort(mine)[np.argsort(np.argsort(expected))]
        if not found and explains(before, after := _agreement(others, expected), enough):
            found.append(Candidate(Cause.ORDER, "in another order", after, before))
    return found


@dataclass(frozen=True)
class _Change:
    """Other arguments of a call: options by name, or other positional arguments."""

    cause: Cause
    says: str
    options: tuple[tuple[str, object], ...] = ()
    arguments: tuple[Any, ...] | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.options) or frozenset({"(arguments)"})


def _other_arguments(
    function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, object]
) -> Iterator[_Change]:
    """Yield the alternatives of a call, one change each."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        parameters = MappingProxyType({})
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    # A function with **options may take any of them: those that it refuses raise an error.
    names = {*parameters, *options, *(ARGUMENTS if open_ended or not parameters else ())}
    if "ddof" in {*parameters, *options}:
        names.discard("correction")  # NumPy's other name for it
    for name, (cause, values) in ARGUMENTS.items():
        for value in values if name in names else ():
            if options.get(name, _NOTHING) != value:
                yield _Change(cause, f"{name}={value!r}", ((name, value),))
    for name in FREE:
        if name in names or open_ended or not parameters:
            for cause, values in METHODS.items():
                for value in values:
                    if options.get(name, _NOTHING) != value:
                        yield _Change(cause, f"{name}={value!r}", ((name, value),))
    for i, j in combinations(range(len(arguments)), 2):
        swapped = list(arguments)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        says = f"arguments {i + 1} and {j + 1} swapped"
        yield _Change(Cause.ARGUMENTS, says, arguments=tuple(swapped))
    for i, value in enumerate(arguments):
        if isinstance(value, int | float) and not isinstance(value, bool) and value:
            others = (*arguments[:i], 1 / value, *arguments[i + 1 :])
            says = f"the reciprocal as argument {i + 1}"
            yield _Change(Cause.SCALE_OR_RATE, says, arguments=others)
    for name, value in options.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and value:
            yield _Change(Cause.SCALE_OR_RATE, f"{name}=1 / {value!r}", ((name, 1 / value),))


_NOTHING = object()


def _called(
    function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> Values | None:
    """Return the value of a call, or None if it fails: an alternative may not be for this call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _numbers(function(*arguments, **options))
        except Exception:
            return None


def _numbers(value: object) -> Values | None:
    if isinstance(value, pd.Series | pd.DataFrame):
        value = value.to_numpy()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _agreement(mine: Values | None, expected: Values) -> float:
    """Return the fewest digits that agree; 0 if the shapes differ."""
    if mine is None or mine.size != expected.size:
        return 0.0
    return float(np.min(digits(mine.ravel(), expected.ravel())))


def explains(before: float, after: float, enough: float = ENOUGH) -> bool:
    """Whether a change after which so many digits agree explains why fewer did before."""
    return after >= enough and after >= before + JUMP
