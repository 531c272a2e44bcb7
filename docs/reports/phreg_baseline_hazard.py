"""statsmodels: PHReg's baseline hazard at a time leaves out the deaths at that time."""

import numpy as np
import statsmodels.api as sm

time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
x = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
fit = sm.PHReg(time, x, status=np.ones(6)).fit()

# Breslow's estimate: at each death, one divided by the sum of the risks of those still alive.
risks = np.exp(fit.params[0] * x)
hazard = np.cumsum(1 / np.cumsum(risks[::-1])[::-1])

print("PHReg   ", np.round(fit.baseline_cumulative_hazard[0][1], 6))
print("Breslow ", np.round(hazard, 6))
print(
    "sum of the martingale residuals, which should be 0:", fit.martingale_residuals.sum().round(4)
)
print("and by Breslow's estimate:", abs((1 - risks * hazard).sum()).round(4))
