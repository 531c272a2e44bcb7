# What methods of lme4 answer that need no refit: predictions with some of the random effects and of
# incomplete rows, tests of lmer against lm, hat values; at a tight optimizer.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/methods_reference.R > tests/data/methods_reference.json`.

methods_frame <- function() {
  set.seed(2)
  n <- 96
  frame <- data.frame(
    x = rnorm(n), z = runif(n, 1, 2), g = gl(12, 8, n, labels = letters[1:12]),
    h = gl(8, 1, n, labels = LETTERS[1:8]), f = gl(3, 1, n, labels = c("u", "v", "w"))
  )
  b <- rnorm(12)
  frame$y <- 2 + frame$x * (1 + 0.7 * rnorm(12)[frame$g]) + b[frame$g] + 0.5 * rnorm(8)[frame$h] + rnorm(n)
  frame$w <- rep(c(1, 2, 0.5, 1), n / 4)
  frame
}

new_rows <- function(frame) {
  new <- frame[c(3, 17, 40, 66, 95, 8), c("x", "z", "g", "h", "f")]
  new$x[2] <- NA
  new$x[5] <- NA
  rownames(new) <- NULL
  new
}

tight_fit <- function(formula, frame, weights = NULL) {
  control <- lmerControl(
    optimizer = "bobyqa", calc.derivs = FALSE, optCtrl = list(rhobeg = 0.2, rhoend = 2e-9, maxfun = 1e5)
  )
  arguments <- list(as.formula(formula, env = globalenv()), quote(frame), control = control)
  if (!is.null(weights)) arguments$weights <- weights
  eval(as.call(c(quote(lmer), arguments)), list(frame = frame))
}

predictions <- function(frame, new) {
  formula <- "y ~ x + f + (x | g) + (1 | h)"
  fit <- tight_fit(formula, frame)
  forms <- list("~ (1 | g)", "~ (0 + x | g) + (1 | h)", "~ (x | g)", "~ (1 | h)", "~ 0", NULL)
  one <- function(form) {
    re <- if (is.null(form)) NULL else as.formula(form)
    complete <- new[!is.na(new$x), ]
    list(
      re_form = form,
      fitted = as.list(unname(predict(fit, re.form = re))),
      new = as.list(unname(predict(fit, complete, re.form = re))),
      random_only = as.list(unname(predict(fit, complete, re.form = re, random.only = TRUE))),
      incomplete = tryCatch(as.list(unname(predict(fit, new, re.form = re))), error = function(e) NULL)
    )
  }
  list(formula = formula, theta = as.list(unname(getME(fit, "theta"))), answers = lapply(forms, one))
}

likelihood_ratio <- function(frame) {
  small <- lm(y ~ x, frame, weights = w)
  large <- tight_fit("y ~ x + f + (1 | g)", frame, frame$w)
  table <- anova(large, small)
  list(npar = as.list(table$npar), AIC = as.list(table$AIC), BIC = as.list(table$BIC),
       logLik = as.list(table$logLik), Chisq = as.list(table$Chisq), p = as.list(table[["Pr(>Chisq)"]]))
}

hat_values <- function(frame) {
  ask <- function(formula, weights = NULL) {
    w <- if (is.null(weights)) NULL else frame[[weights]]
    fit <- tight_fit(formula, frame, w)
    list(formula = formula, weights = weights, theta = as.list(unname(getME(fit, "theta"))),
         hat = as.list(unname(hatvalues(fit))))
  }
  list(ask("y ~ x + (1 | g)"), ask("y ~ x + f + (x | g)", "w"), ask("y ~ x + (x | g) + (1 | h)"))
}

influences <- function(frame) {
  fit <- tight_fit("y ~ x + (1 | g)", frame)
  found <- influence(fit, groups = "g", data = frame)
  list(formula = "y ~ x + (1 | g)", coef = found[["fixed.effects[-g]"]],
       cooks = as.list(as.vector(cooks.distance(found))), dfbetas = unname(dfbetas(found)))
}

lists <- function(frame) {
  fit <- lmList(y ~ x | g, frame)
  list(coef = as.matrix(coef(fit)), sigma = sigma(fit), df_residual = summary(fit)$df.residual,
       std_error = summary(fit)$coefficients[, "Std. Error", 1],
       nested = list(isNested(frame$h, frame$g), isNested(interaction(frame$g, frame$h), frame$g)))
}

if (sys.nframe() == 0L) {
  options(contrasts = c("contr.treatment", "contr.poly"))
  suppressPackageStartupMessages(library(lme4))
  source("r_scripts/lmm_reference.R")
  frame <- methods_frame()
  new <- new_rows(frame)
  out <- list(
    R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
    frames = list(methods = frame, new = new), predictions = predictions(frame, new),
    likelihood_ratio = likelihood_ratio(frame), hat_values = hat_values(frame),
    influence = influences(frame), lists = lists(frame)
  )
  cat(json(plain(out)), "\n")
}
