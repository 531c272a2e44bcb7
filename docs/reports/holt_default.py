"""statsmodels: Holt and SimpleExpSmoothing fail with their default initialization_method."""

import numpy as np
from statsmodels.tsa.api import ExponentialSmoothing, Holt, SimpleExpSmoothing

series = np.array([3.0, 5.0, 4.0, 6.0, 8.0, 7.0, 9.0, 9.0, 11.0, 10.0, 12.0, 13.0])
for model in (ExponentialSmoothing, Holt, SimpleExpSmoothing):
    try:
        model(series)
        print(f"{model.__name__}: works")
    except TypeError as error:
        print(f"{model.__name__}: TypeError: {error}")
