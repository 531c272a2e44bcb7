"""R's default random streams, bit for bit: Mersenne-Twister, Inversion, Rejection or Rounding.

The words come from numpy's MT19937, which is R's generator too. How a seed becomes a state, and how
words become draws, is written here as R does it. Equal bits need equal arithmetic: polynomials are
summed in R's order, and logarithms, exponentials and powers are the C library's (`math.log`),
because numpy's vectorised ones sometimes differ in the last bit. R's own normals, gammas and betas
differ in a few last bits between C libraries, and where a compiler fuses multiplications and
additions.
"""

from rparity.rrandom.generator import RRandom
from rparity.rrandom.stream import SampleKind

__all__ = ["RRandom", "SampleKind"]
