# R's answers for NIST's reference problems: lm() for the linear ones, lmer() for one-way analyses of
# variance. Plain functions of the data; by hand, `Rscript nist.R` prints the fit of R's own longley.

# `loose` is a second tolerance for qr(), at which lm() keeps columns that its default drops; where one
# is dropped, vcov() and confint() have NA.
nist_lm <- function(data, formulas, loose = NULL) {
  fits <- lapply(formulas, function(text) lm(as.formula(text), data))
  parts <- lapply(fits, lm_tables)
  if (!is.null(loose)) {
    parts$lm <- parts$lm[c("coef", "glance", "residual_quantiles")]
    fit <- lm(as.formula(formulas$lm), data, tol = loose)
    parts$lm_loose <- lm_tables(fit)[c("coef", "glance")]
  }
  list(tables = c(list(data = data), flatten_tables(parts)), notes = list())
}

# A fit without residuals: what lm() calls its standard errors is rounding.
nist_perfect_fit <- function(data, formula) {
  fit <- lm(as.formula(formula), data)
  b <- coef(fit)
  list(
    tables = list(
      data = data,
      lm.coef = named_table(names(b), estimate = unname(b))
    ),
    notes = list()
  )
}

# lmer() works on cross-products of the response as it is, in which leading digits that are constant
# take the place of those that vary: of thirteen it keeps none. So `lmer` has the response less its
# first value, a difference without rounding, and the intercept put back; `lmer_raw` has it as it is.
nist_anova <- function(data) {
  suppressPackageStartupMessages(library(lme4))
  first <- data$y[1L]
  shifted <- data
  shifted$y <- data$y - first
  fit <- lmer(y ~ 1 + (1 | treatment), shifted)
  raw <- lmer(y ~ 1 + (1 | treatment), data)
  parts <- list(
    lmer = put_back(lmer_tables(fit), first),
    lmer_raw = lmer_tables(raw)[c("coef", "varcorr", "theta", "glance")]
  )
  list(
    tables = c(list(data = data), flatten_tables(parts)),
    notes = list(lmer = optimizer_note(fit), lmer_raw = optimizer_note(raw))
  )
}

put_back <- function(tables, first) {
  tables$coef$estimate <- tables$coef$estimate + first
  tables$coef$statistic <- tables$coef$estimate / tables$coef$std_error
  tables$confint_wald["(Intercept)", ] <- tables$confint_wald["(Intercept)", ] + first
  tables
}

if (sys.nframe() == 0L) {
  print(summary(lm(Employed ~ ., longley)))
}
