"""The arbiter's arithmetic: optima of mixed and linear models in balls, from exact data.

Every number is a ball (Arb's midpoint and radius) that holds the true value; data are rationals.
"""

try:
    import flint  # noqa: F401
except ImportError as error:
    from harness.errors import UsageError

    raise UsageError(
        'The arbiter needs python-flint: install it with `pip install "rparity[arbiter]"`.'
    ) from error

from harness.exact.certificate import Certified, certify
from harness.exact.enclosure import NotCertifiedError

__all__ = ["Certified", "NotCertifiedError", "certify"]
