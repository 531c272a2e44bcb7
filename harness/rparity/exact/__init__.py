"""The arbiter: proven optima of mixed and linear models.

Data are exact rationals; every result is a ball (Arb's midpoint and radius) that contains the exact
value.
"""

try:
    import flint  # noqa: F401
except ImportError as error:
    from rparity.errors import UsageError, install

    raise UsageError(
        f"The arbiter needs python-flint: install it with `{install('arbiter')}`."
    ) from error

from rparity.exact.certificate import Certified, certify
from rparity.exact.enclosure import NotCertifiedError

__all__ = ["Certified", "NotCertifiedError", "certify"]
