"""Nonlinear least squares: R's `nls` and SciPy's `curve_fit`."""

import numpy as np
import pytest
from scipy.optimize import curve_fit


def rate(conc, vm, k):
    """Michaelis and Menten's rate of a reaction at a concentration."""
    return vm * conc / (k + conc)


def gradient(conc, vm, k):
    """Derivatives by vm and k. With numerical derivatives, SciPy would stop earlier."""
    return np.column_stack([conc / (k + conc), -vm * conc / (k + conc) ** 2])


@pytest.mark.parametrize("tol", [1e-5, 1e-8])
def test_kinetics(r_parity, tol):
    """R stops when the residuals are orthogonal to the model up to `tol`, by default 1e-5.

    The remaining error is of the order of `tol` in the estimates, and of `tol` squared in the sum
    of squares, which is flat at its minimum. SciPy continues to the limit of rounding.
    """
    r = r_parity.call("nls.R", "kinetics", tol=tol)

    conc, measured = r["data"]["conc"].to_numpy(), r["data"]["rate"].to_numpy()
    params, cov = curve_fit(
        rate, conc, measured, p0=[200, 0.05], jac=gradient, ftol=1e-15, xtol=1e-15, gtol=1e-15
    )
    df = len(conc) - len(params)
    deviance = ((measured - rate(conc, *params)) ** 2).sum()
    r.check(
        {
            # SciPy's arrays have no names. They are matched by position, in the order of `start`.
            "coef": {"estimate": params, "std_error": np.sqrt(np.diag(cov))},
            "glance": {"sigma": np.sqrt(deviance / df), "df": df, "deviance": deviance},
        },
        only=["coef", "glance"],
        rtol=max(tol**2, 1e-13),
        tolerances={"coef": tol},
    )
