# R's side of speed.py: the processor time that lme4 takes, measured inside R.

seconds <- function(code) {
  spent <- system.time(code)
  unname(spent["user.self"] + spent["sys.self"])
}

# One fit (the mean of `repeats`), and a bootstrap with either setting of use.u where nsim > 0.
speed <- function(data, formula, repeats, nsim) {
  suppressPackageStartupMessages(library(lme4))
  formula <- as.formula(formula)
  fit <- lmer(formula, data)
  c(
    lmer = seconds(for (i in seq_len(repeats)) lmer(formula, data)) / repeats,
    simulate_u = if (nsim > 0) seconds(bootMer(fit, fixef, nsim = nsim, use.u = FALSE)),
    fix_u = if (nsim > 0) seconds(bootMer(fit, fixef, nsim = nsim, use.u = TRUE))
  )
}

# The parametric bootstrap test of pbkrtest: NA where the package is not installed.
bootstrap_test <- function(data, large, small, nsim) {
  if (!requireNamespace("pbkrtest", quietly = TRUE)) return(NA_real_)
  suppressPackageStartupMessages(library(lme4))
  # Later calls refit the models: by name, in the global environment.
  assign(".data", data, envir = globalenv())
  fit <- function(formula) {
    do.call(lmer, list(as.formula(formula, env = globalenv()), data = as.name(".data"), REML = FALSE))
  }
  large <- fit(large)
  small <- fit(small)
  suppressMessages(suppressWarnings(seconds(pbkrtest::PBmodcomp(large, small, nsim = nsim))))
}

# Degrees of freedom of all coefficients, by lmerTest and by pbkrtest: NA where the package is not installed.
degrees_of_freedom <- function(data, formula) {
  has <- function(package) requireNamespace(package, quietly = TRUE)
  suppressPackageStartupMessages(library(lme4))
  fit <- lmer(as.formula(formula), data)
  own <- diag(length(fixef(fit)))
  c(
    satterthwaite = if (has("lmerTest")) {
      seconds(lmerTest::contestMD(lmerTest::as_lmerModLmerTest(fit), own[1, , drop = FALSE]))
    } else {
      NA_real_
    },
    `kenward-roger` = if (has("pbkrtest")) {
      seconds({
        adjusted <- pbkrtest::vcovAdj(fit)
        for (i in seq_len(nrow(own))) pbkrtest::Lb_ddf(own[i, ], vcov(fit), adjusted)
      })
    } else {
      NA_real_
    }
  )
}

# Processor time of one fit, and its criterion.
processor_time <- function(data, formula) {
  suppressPackageStartupMessages(library(lme4))
  used <- seconds(fit <- lmer(as.formula(formula), data))
  c(seconds = used, criterion = REMLcrit(fit))
}

# Processor time of one fit: the least mean of three blocks of at least `least` seconds each.
repeated_time <- function(data, formula, least) {
  suppressPackageStartupMessages(library(lme4))
  formula <- as.formula(formula)
  logit <- qlogis # as `environment(formula)` finds it
  control <- lmerControl(check.rankX = "silent.drop.cols")
  used <- function(repeats) {
    seconds(for (i in seq_len(repeats)) lmer(formula, data, control = control))
  }
  suppressMessages(suppressWarnings({
    repeats <- max(1, ceiling(least / max(used(1), 1e-3)))
    min(replicate(3, used(repeats))) / repeats
  }))
}
