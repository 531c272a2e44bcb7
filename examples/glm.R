# Two generalised linear models of R's own data; `epsilon` is where the iterations stop.
glm_tables <- function(fit) {
  s <- summary(fit)$coefficients
  list(
    data = model.frame(fit),
    coef = data.frame(estimate = s[, 1L], std_error = s[, 2L]),
    glance = c(
      deviance = deviance(fit), null_deviance = fit$null.deviance, aic = AIC(fit),
      log_lik = as.numeric(logLik(fit))
    )
  )
}

transmission <- function(epsilon) {
  control <- glm.control(epsilon = epsilon, maxit = 100)
  glm_tables(glm(am ~ wt + hp, binomial, mtcars, control = control))
}

breaks <- function(epsilon) {
  control <- glm.control(epsilon = epsilon, maxit = 100)
  glm_tables(glm(breaks ~ wool * tension, poisson, warpbreaks, control = control))
}
