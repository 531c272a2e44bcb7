"""Hypothesis strategies for random designs of mixed models, and for their pieces.

`rparity fuzz` uses them, and so can the tests of a port of your own:

    @given(design=strategies.designs())
    def test_port(design): ...

`design.data()` is a data frame and `design.formula` its model; `rparity.fuzz.design.Design`
documents the other attributes. All integers drawn lie within ±99: beyond, Hypothesis would add
constants from the source code that happens to be loaded, and a seed would not give the same designs
in every process.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from rparity.fuzz.design import CONTRASTS, Covariate, Design, FixedFactor, Grouping

__all__ = ["covariates", "designs", "factors", "groupings", "sizes"]

MOST_ROWS = 1500
RATIOS = (1.0, 0.0, 0.01, 0.1, 0.5, 2.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
WEIGHTS = (None, None, None, 0.0, 0.5, 1.0, 3.0)


def sizes(*, most_groups: int = 60, most_rows: int = MOST_ROWS) -> SearchStrategy[tuple[int, ...]]:
    """Draw the sizes of 1 to 60 groups: up to 10 rows each, equal ones, or 1 to 50 unbalanced."""
    small = st.lists(st.integers(1, 10), min_size=2, max_size=min(12, most_groups))
    equal = st.builds(
        lambda groups, rows: [rows] * groups, st.integers(2, most_groups), st.integers(1, 12)
    )
    wide = st.integers(2, most_groups).flatmap(
        lambda groups: st.lists(st.integers(1, 50), min_size=groups, max_size=groups)
    )
    alone = st.integers(1, 50).map(lambda rows: [rows])
    kinds = st.sampled_from((small,) * 10 + (equal,) * 6 + (wide,) * 3 + (alone,))
    return kinds.flatmap(lambda kind: kind).map(lambda found: _cut(found, most_rows))


def _cut(found: list[int], most_rows: int) -> tuple[int, ...]:
    """Keep the first groups that have at most `most_rows` rows together."""
    kept: list[int] = []
    for size in found:
        if sum(kept) + size > most_rows:
            break
        kept.append(size)
    return tuple(kept)


def groupings(*, most: int = 3) -> SearchStrategy[tuple[Grouping, ...]]:
    """Draw 1 to 3 grouping factors, nested or crossed, of variance ratios from 0 to 1e6."""
    one = st.builds(
        Grouping,
        ratio=st.sampled_from(RATIOS),
        slope=st.sampled_from(("none", "none", "correlated", "uncorrelated")),
        correlation=st.sampled_from((0.0, 0.5, -0.9, 1.0)),
        place=st.sampled_from(("nested", "in turn", "at random")),
        levels=st.integers(2, 12),
    )
    numbers = st.sampled_from([k for k in (1, 1, 1, 2, 2, 3) if k <= most])
    return numbers.flatmap(lambda k: st.tuples(*[one] * k))


def covariates(*, most: int = 3) -> SearchStrategy[tuple[Covariate, ...]]:
    """Draw up to 3 covariates, of sizes from 1e-6 to 1e6, some with large means or collinear."""
    one = st.builds(
        Covariate,
        scale=st.one_of(st.just(0), st.integers(-6, 6)),
        shift=st.sampled_from((0.0, 0.0, 1.0, 10.0, 1e3)),
        near=st.sampled_from((*(0,) * 12, 1, 2, 3, 4, 5, 6, 10)),
        between=st.sampled_from((False, False, False, True)),
    )
    return st.lists(one, max_size=most).map(tuple)


def factors(*, most: int = 2) -> SearchStrategy[tuple[FixedFactor, ...]]:
    """Draw up to 2 factors of 2 to 5 levels, coded by one of four contrasts each."""
    one = st.builds(FixedFactor, levels=st.integers(2, 5), contrast=st.sampled_from(CONTRASTS))
    return st.lists(one, max_size=most).map(tuple)


def designs(*, most_rows: int = MOST_ROWS) -> SearchStrategy[Design]:
    """Draw a design of a mixed model with up to `most_rows` rows.

    Not every design can be fitted: as in real data, factors may have one level, there may be as
    many groups as rows, and columns may be collinear. R and a port should refuse the same designs.
    """
    return st.builds(
        Design,
        sizes=sizes(most_rows=most_rows),
        groupings=groupings(),
        covariates=covariates(),
        factors=factors(),
        interaction=st.booleans(),
        weights=st.sampled_from(WEIGHTS),
        offset=st.sampled_from((False, False, True)),
        missing=st.sampled_from((0, 0, 0, 5, 25)),
        scale=st.sampled_from((0, 0, -3, 3)),
        shift=st.sampled_from((0.0, 1.0, 10.0, 1e4)),
        reml=st.sampled_from((True, False)),
        seed=st.integers(0, 99),
    )
