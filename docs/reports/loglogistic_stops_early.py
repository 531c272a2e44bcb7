"""lifelines: LogLogisticAFTFitter stops before the third digit of its estimates is right."""

import numpy as np
import pandas as pd
from lifelines import LogLogisticAFTFitter

x = np.tile([0.0, 1.0, 2.0], 40)
u = (np.arange(120) + 0.5) / 120
time = np.exp(5 + 0.3 * x) * (u / (1 - u)) ** 0.6
data = pd.DataFrame({"time": time, "dead": 1, "x": x, "age": 50 + 10 * np.sin(np.arange(120))})
for options in ({}, {"ftol": 1e-10}, {"ftol": 1e-14}):
    fit = LogLogisticAFTFitter().fit(data, "time", "dead", fit_options=options)
    estimates = [f"{value:.4f}" for value in fit.params_["alpha_"]]
    print(options, fit.params_["alpha_"].index.tolist(), estimates, f"{fit.log_likelihood_:.6f}")
