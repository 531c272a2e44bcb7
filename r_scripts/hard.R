# R's answers for mixed models whose numerics are hard: shifted and nearly collinear covariates, and
# criteria that are nearly flat. The data are sleepstudy's, with further columns.
# Plain functions, which need tables.R and models.R; by hand, from the project's root,
# `Rscript --vanilla r_scripts/hard.R` shows the estimates.

hard_data <- function() {
  sleep <- model_data("sleepstudy")
  z <- rnorm(nrow(sleep))
  days <- sleep$Days
  data.frame(
    Reaction = sleep$Reaction, Days = days, Subject = sleep$Subject,
    shifted = days + 1e6, # a covariate far from zero
    year = days + 2000, # years, whose squares are wanted
    near = days + 1e-5 * z, # Days again, to five digits
    square = days^2
  )
}

# The tables `kinds` of each of the `formulas`, at lme4's default and at tight controls.
hard <- function(formulas, kinds) {
  suppressPackageStartupMessages(library(lme4))
  data <- hard_data()
  fits <- list()
  for (name in names(formulas)) {
    message(name)
    fits[[name]] <- model_fit(data, formulas[[name]], TRUE, lmerControl())
    fits[[paste0(name, "_tight")]] <- model_fit(data, formulas[[name]], TRUE, tight_control())
  }
  parts <- lapply(fits, function(fit) lmer_tables(fit)[unlist(kinds)])
  list(
    tables = c(list(data = data), flatten_tables(parts)), notes = lapply(fits, optimizer_note)
  )
}

if (sys.nframe() == 0L) {
  for (script in c("tables.R", "models.R")) source(file.path("r_scripts", script))
  set.seed(1)
  print(hard(list(lmer = "Reaction ~ shifted + (1 | Subject)"), "coef")$tables[-1L], digits = 10)
}
