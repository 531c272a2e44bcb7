"""R's default random streams, bit for bit: Mersenne-Twister, Inversion, Rejection or Rounding.

The words come from numpy's MT19937, the same generator as R's; what is R's own is how a seed
becomes a state and how words become draws. Equal bits need the same arithmetic: polynomials are
summed in R's order, and logarithms, exponentials and powers are the C library's (`math.log`),
because numpy's vectorised ones differ from it in the last bit now and then. R itself gives a few
other last bits of normals, gammas and betas where the C library does, or where its compiler fused
multiplications and additions.
"""

from rparity.rrandom.generator import RRandom
from rparity.rrandom.stream import SampleKind

__all__ = ["RRandom", "SampleKind"]
