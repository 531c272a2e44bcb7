# What lme4 answers, at a tight optimizer, for pupils who seldom change their class: nearly nested
# factors, for which harness/rparity/lmm eliminates a sparse matrix. Plain functions; by hand, from
# the project's root,
# `Rscript --vanilla r_scripts/crossed_reference.R > tests/data/crossed_reference.json`.
# The data are not written: tests/support/crossed_recorded.py draws them again.

pupils <- function() {
  pupil <- rep(0:999, each = 3)
  year <- rep(0:2, 1000)
  moves <- year > 0 & (pupil * pupil) %% 13 < 2
  class <- (pupil * 7) %/% 10 + moves
  school <- class %/% 9
  set.seed(1)
  x <- rnorm(3000)
  y <- 1 + x + year / 2 + rnorm(1000)[pupil + 1] + rnorm(701)[class + 1] * (1 + x / 2) + rnorm(3000)
  data.frame(y, x, year, pupil = factor(pupil), class = factor(class), school = factor(school))
}

crossed_answer <- function(formula, REML, frame) {
  control <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE, optCtrl = list(
    algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 1e-12, ftol_abs = 1e-12, xtol_rel = 0, ftol_rel = 0, maxeval = 1e5
  ))
  fit <- lmer(as.formula(formula), frame, REML = REML, control = control)
  objective <- lmer(as.formula(formula), frame, REML = REML, devFunOnly = TRUE)
  theta <- getME(fit, "theta")
  elsewhere <- ifelse(getME(fit, "lower") == 0, 0.7, 0.2)
  zero <- elsewhere
  zero[length(zero)] <- 0
  effects <- as.data.frame(ranef(fit, condVar = TRUE))
  some <- seq(1, nrow(effects), by = 97)
  list(
    formula = formula, REML = REML, names = names(theta), theta = unname(theta), criterion = objective(theta),
    elsewhere = list(theta = elsewhere, value = objective(elsewhere)),
    zero = list(theta = zero, value = objective(zero)),
    fixef = unname(fixef(fit)), se = unname(sqrt(diag(as.matrix(vcov(fit))))), sigma = sigma(fit),
    ranef = list(
      rows = paste(effects$grpvar, effects$grp, effects$term, sep = ".")[some],
      condval = effects$condval[some], condsd = effects$condsd[some]
    )
  )
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  source("r_scripts/lmm_reference.R")
  versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
  frame <- pupils()
  answers <- Map(
    function(formula, REML) json(plain(crossed_answer(formula, REML, frame))),
    c("y ~ x + year + (1 | pupil) + (1 | class)", "y ~ x + year + (1 | pupil) + (1 | class)",
      "y ~ x + (1 | pupil) + (x | class) + (1 | school)"),
    c(TRUE, FALSE, TRUE)
  )
  cat("{\"versions\":", json(versions), ",\n\"models\": [\n", paste(answers, collapse = ",\n"), "\n]}\n")
}
