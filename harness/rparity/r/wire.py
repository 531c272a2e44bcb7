"""Wire values: how values cross between Python and R, without R or rpy2.

A wire value is a tuple `(kind, data, attributes)`. `kind` is R's `typeof`: `NULL`, `logical`,
`integer`, `double`, `character` or `list`. `data` are the raw bytes of a numeric vector, so that
doubles keep all bits; a list of `str | None` for `character`; and a list of wire values for `list`.
`attributes` maps names to wire values. `to_r` makes wire values of Python's, `from_r` the reverse.

Other types of R travel as one of these, with their own name in the attribute `typeof`: `complex` as
doubles (the real and the imaginary part of each number in turn), `raw` as integers, and `sparse`, a
matrix of R's package Matrix that only goes to R, as the list of its row numbers from 0, column
pointers, values and dimensions.
"""

import datetime
from typing import Any, TypeAlias

import numpy as np

Wire: TypeAlias = tuple[str, Any, dict[str, Any]]

NULL: Wire = ("NULL", None, {})
NA_INTEGER = -(2**31)
# R's NA_real_ is the NaN with 1954 in its lower half.
NA_REAL_BITS = np.uint64(0x7FF00000000007A2)
# The NA of the package bit64, whose integers lie in the bits of doubles.
NA_INTEGER64 = -(2**63)

# The first and last day of Python's dates, as R counts days.
FIRST_DAY, LAST_DAY = (
    day.toordinal() - datetime.date(1970, 1, 1).toordinal()
    for day in (datetime.date.min, datetime.date.max)
)
