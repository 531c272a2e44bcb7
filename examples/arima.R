# An autoregression of the hormone levels in R's `lh`.
levels_of_lh <- function() as.numeric(lh)

autoregression <- function() arima(lh, order = c(1, 0, 0))

forecast <- function() predict(autoregression(), n.ahead = 3)
