# What lm answers with weights of zero, with offsets and without an intercept.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/lm_reference.R > tests/data/lm_reference.json`.

lm_frame <- function() {
  set.seed(1)
  n <- 60
  frame <- data.frame(x = rnorm(n), z = rnorm(n), f = gl(3, 1, n, labels = c("a", "b", "c")))
  frame$known <- rnorm(n, 2, 3)
  frame$y <- 4 + frame$x - as.integer(frame$f) + rnorm(n) + frame$known
  frame$w <- rep(c(0, 1, 2, 0.5, 1, 3), 10)
  frame$without_c <- ifelse(frame$f == "c", 0, 1.5)
  frame
}

lm_questions <- function() {
  ask <- function(formula, weights = NULL) list(formula = formula, weights = weights)
  list(
    ask("y ~ x + z", "w"),
    ask("y ~ x + f", "w"),
    ask("y ~ x + f", "without_c"),
    ask("y ~ f + x", "without_c"),
    ask("y ~ 0 + f", "w"),
    ask("y ~ 0 + f + x"),
    ask("y ~ 0 + x"),
    ask("y ~ x + offset(known)"),
    ask("y ~ 0 + x + offset(known)"),
    ask("y ~ 0 + f + offset(known)", "w"),
    ask("y ~ f * z + offset(known)", "w"),
    ask("y ~ 1", "w")
  )
}

lm_answers <- function(q, frame) {
  weights <- if (is.null(q$weights)) NULL else frame[[q$weights]]
  fit <- lm(as.formula(q$formula, env = environment()), frame, weights = weights)
  s <- summary(fit)
  f <- if (is.null(s$fstatistic)) rep(NA_real_, 3) else unname(s$fstatistic)
  coef <- s$coefficients
  c(q, list(
    terms = as.list(rownames(coef)), estimate = as.list(unname(coef[, 1])), std_error = as.list(unname(coef[, 2])),
    p_value = as.list(unname(coef[, 4])), sigma = s$sigma, nobs = nobs(fit), df_residual = df.residual(fit),
    log_lik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit), r_squared = s$r.squared,
    adj_r_squared = s$adj.r.squared, f_statistic = f[1], df_model = f[2],
    fitted = as.list(unname(fitted(fit))), resid = as.list(unname(resid(fit)))
  ))
}

if (sys.nframe() == 0L) {
  options(contrasts = c("contr.treatment", "contr.poly"))
  source("r_scripts/lmm_reference.R")
  frame <- lm_frame()
  answers <- vapply(lm_questions(), function(q) json(plain(lm_answers(q, frame))), "")
  cat("{\"R\":", json(as.character(getRversion())), ",\n\"frames\":",
      json(plain(list(lm = frame))), ",\n\"models\": [\n")
  cat(paste(answers, collapse = ",\n"), "\n]}\n")
}
