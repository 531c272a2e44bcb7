# R's side of speed.py: seconds that lme4 takes, measured inside R.

seconds <- function(code) unname(system.time(code)["elapsed"])

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
