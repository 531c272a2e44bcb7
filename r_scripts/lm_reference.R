# What R's lm and its summary answer for models with weights, some of them zero, an offset, or no
# intercept. Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/lm_reference.R > tests/data/lm_reference.json`.

lm_frame <- function() {
  set.seed(1)
  data.frame(
    x = rnorm(40), z = rnorm(40), f = factor(rep(c("a", "b", "c"), length.out = 40)),
    y = rnorm(40, 3), w = rep(c(0, 1, 2.5, 0.5), 10), o = rep(c(-1, 0, 2), length.out = 40)
  )
}

lm_models <- function(data) {
  w <- data$w
  o <- data$o
  fits <- list(
    plain = lm(y ~ x + z + f, data),
    weights = lm(y ~ x + f, data, weights = w),
    offset = lm(y ~ x + f, data, offset = o),
    weights_offset = lm(y ~ x + f + offset(z), data, weights = w, offset = o),
    no_intercept = lm(y ~ 0 + x + z, data),
    no_intercept_factor = lm(y ~ 0 + f + x, data),
    no_intercept_weights = lm(y ~ 0 + f + x, data, weights = w, offset = o),
    intercept_alone = lm(y ~ 1, data, weights = w)
  )
  lapply(fits, function(fit) {
    # Newer Rs subtract the offset from the fitted values before they compute R².
    about <- fit
    if (!is.null(fit$offset)) about$fitted.values <- fit$fitted.values - fit$offset
    about$offset <- NULL
    s <- summary(about)
    f <- if (is.null(s$fstatistic)) rep(NA, 3) else unname(s$fstatistic)
    list(
      coefficients = unname(s$coefficients), vcov = unname(vcov(fit)),
      confint = unname(confint(fit)), residuals = unname(residuals(fit)),
      fitted = unname(fitted(fit)), sigma = s$sigma, nobs = nobs(fit),
      df_residual = df.residual(fit), log_lik = as.numeric(logLik(fit)), aic = AIC(fit),
      bic = BIC(fit), r_squared = s$r.squared, adj_r_squared = s$adj.r.squared,
      f_statistic = f[1], p_value = pf(f[1], f[2], f[3], lower.tail = FALSE)
    )
  })
}

if (sys.nframe() == 0L) {
  source(file.path("r_scripts", "lmm_reference.R"))
  options(contrasts = c("contr.treatment", "contr.poly"))
  data <- lm_frame()
  data$f <- as.character(data$f)
  answer <- list(R = as.character(getRversion()), data = data, models = lm_models(lm_frame()))
  cat(json(plain(answer)))
  cat("\n")
}
