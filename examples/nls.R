# Michaelis and Menten's kinetics, fitted to the cells that were treated with Puromycin.
# With its derivatives (deriv) nls() can iterate further than with differences in their place.
kinetics <- function(tol) {
  rate_of <- deriv(~ Vm * conc / (K + conc), c("Vm", "K"), function(Vm, K, conc) NULL)
  data <- subset(Puromycin, state == "treated", c(conc, rate))
  fit <- nls(
    rate ~ rate_of(Vm, K, conc), data,
    start = list(Vm = 200, K = 0.05), control = nls.control(tol = tol)
  )
  s <- summary(fit)
  list(
    data = data,
    coef = data.frame(estimate = s$coefficients[, 1L], std_error = s$coefficients[, 2L]),
    glance = c(sigma = s$sigma, df = df.residual(fit), deviance = deviance(fit))
  )
}
