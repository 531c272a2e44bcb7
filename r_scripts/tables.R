# R's answers as tidy tables: data frames with named rows and numeric columns, in broom's vocabulary.
# Plain functions; by hand, `Rscript tables.R` shows the tables of lme4's sleepstudy.

named_table <- function(rows, ...) {
  data.frame(..., row.names = rows, check.names = FALSE)
}

join_names <- function(...) {
  parts <- list(...)
  apply(do.call(cbind, parts), 1L, function(x) paste(x[!is.na(x)], collapse = "."))
}

vcov_table <- function(fit) {
  v <- as.matrix(vcov(fit))
  as.data.frame(v, row.names = rownames(v), optional = TRUE)
}

confint_table <- function(interval) {
  named_table(rownames(interval), conf_low = interval[, 1L], conf_high = interval[, 2L])
}

quantile_table <- function(x) {
  q <- quantile(x)
  named_table(names(q), value = unname(q))
}

lm_tables <- function(fit) {
  s <- summary(fit)
  f <- unname(s$fstatistic)
  list(
    coef = named_table(
      rownames(s$coefficients),
      estimate = s$coefficients[, 1L], std_error = s$coefficients[, 2L],
      statistic = s$coefficients[, 3L], p_value = s$coefficients[, 4L]
    ),
    vcov = vcov_table(fit),
    glance = named_table(
      "1",
      sigma = s$sigma, nobs = nobs(fit), df_residual = df.residual(fit),
      log_lik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit),
      r_squared = s$r.squared, adj_r_squared = s$adj.r.squared, f_statistic = f[1L],
      p_value = pf(f[1L], f[2L], f[3L], lower.tail = FALSE)
    ),
    residual_quantiles = quantile_table(residuals(fit)),
    confint_wald = confint_table(confint(fit))
  )
}

lmer_tables <- function(fit) {
  s <- coef(summary(fit))
  v <- as.data.frame(VarCorr(fit))
  theta <- getME(fit, "theta")
  b <- as.data.frame(ranef(fit, condVar = TRUE))
  list(
    coef = named_table(
      rownames(s), estimate = s[, 1L], std_error = s[, 2L], statistic = s[, 3L]
    ),
    vcov = vcov_table(fit),
    varcorr = named_table(join_names(v$grp, v$var1, v$var2), vcov = v$vcov, sdcor = v$sdcor),
    theta = named_table(names(theta), value = unname(theta)),
    ranef = named_table(
      join_names(as.character(b$grpvar), as.character(b$grp), as.character(b$term)),
      condval = b$condval, condsd = b$condsd
    ),
    glance = named_table(
      "1",
      sigma = sigma(fit), nobs = nobs(fit), df_residual = df.residual(fit),
      log_lik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit),
      criterion = if (isREML(fit)) REMLcrit(fit) else deviance(fit)
    ),
    residual_quantiles = quantile_table(residuals(fit, type = "pearson", scaled = TRUE)),
    confint_wald = confint_table(confint(fit, method = "Wald"))
  )
}

# `replicates` is R's `t`; `boot` is what print() shows of it.
boot_tables <- function(b) {
  t <- b$t
  colnames(t) <- names(b$t0)
  list(
    boot = named_table(
      names(b$t0),
      estimate = unname(b$t0), bias = unname(colMeans(t) - b$t0), std_error = unname(apply(t, 2L, sd))
    ),
    replicates = as.data.frame(t, row.names = as.character(seq_len(nrow(t))), optional = TRUE)
  )
}

# Name the tables of every part "part.table".
flatten_tables <- function(parts) {
  out <- list()
  for (part in names(parts)) {
    tables <- parts[[part]]
    names(tables) <- paste(part, names(tables), sep = ".")
    out <- c(out, tables)
  }
  out
}

# Which optimizer fitted a mixed model, with what controls, and after how many evaluations.
optimizer_note <- function(fit) {
  info <- fit@optinfo
  control <- info$control[lengths(info$control) == 1L]
  list(
    optimizer = info$optimizer,
    control = paste(names(control), unlist(control), sep = " = ", collapse = ", "),
    evaluations = info$feval
  )
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  print(lmer_tables(lmer(Reaction ~ Days + (Days | Subject), sleepstudy)))
}
