# zeta of lme4's profiles and the points of R's qqnorm(), for the tests of plots.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/profile_reference.R > tests/data/profile_reference.json`.
# The data sets are those that r_scripts/lmm_reference.R records.

profile_queries <- function() {
  query <- function(data, formula) list(data = data, formula = formula)
  list(
    query("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    query("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    query("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)")
  )
}

# Each parameter's own values and zeta, between the ends of the 99 % interval.
profile_answer <- function(q, frame) {
  fit <- lmer(as.formula(q$formula), frame, REML = FALSE, control = tight())
  found <- as.data.frame(profile(fit, alphamax = 0.01))
  names <- as.character(unique(found$.par))
  curves <- lapply(names, function(name) {
    mine <- found[found$.par == name & abs(found$.zeta) < 2.5, ]
    list(value = mine[[name]], zeta = mine$.zeta)
  })
  c(q, list(curves = setNames(curves, names),
            quantiles = sort(qqnorm(residuals(fit), plot.it = FALSE)$x)))
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  source(file.path("r_scripts", "lmm_reference.R"))
  frames <- lmm_frames()
  answers <- lapply(profile_queries(), function(q) profile_answer(q, frames[[q$data]]))
  versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
  cat("{\"versions\":", json(versions), ",\n\"models\": [\n")
  cat(paste(vapply(answers, function(a) json(plain(a)), ""), collapse = ",\n"), "\n]}\n")
}
