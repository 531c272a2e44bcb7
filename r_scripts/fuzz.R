# What R's engines answer about a random design: a mixed model whose factors may be coded by contrasts.
# Plain functions, which need tables.R, models.R and engines.R; by hand, from the project's root,
# `Rscript --vanilla r_scripts/fuzz.R` shows Penicillin's fit and R's criterion there.

# fuzz_answer("lme4", data, model): as engine_answer() of engines.R, of a model with `contrasts`, which
# are NULL or factor to the name of a function.
fuzz_answer <- function(engine, data, model) engine_answer(engine, data, model)

# R's own criterion, profiled, at each column of `theta`; NA where R cannot evaluate it.
criterion_at <- function(data, model, theta) {
  suppressPackageStartupMessages(library(lme4))
  criterion <- suppressMessages(suppressWarnings(
    coded_fit(data, model, control = lmerControl(), devFunOnly = TRUE)
  ))
  apply(theta, 2L, function(t) tryCatch(as.numeric(criterion(t)), error = function(e) NA_real_))
}

coded_fit <- function(data, model, ...) {
  arguments <- list(as.formula(model$formula), data = data, REML = model$reml, ...)
  if (!is.null(model$contrasts)) arguments$contrasts <- as.list(model$contrasts)
  if (!is.null(model$weights)) arguments$weights <- data[[model$weights]]
  do.call(lme4::lmer, arguments)
}

coded_lmer <- function(data, model, control) {
  suppressPackageStartupMessages(library(lme4))
  fit <- coded_fit(data, model, control = control)
  list(tables = lmer_tables(fit)[model$kinds], optimizer = optimizer_note(fit))
}

# lme() takes its columns from lme4, which takes the coding from the data where it is told of none.
coded_lme <- function(data, model) {
  for (name in names(model$contrasts)) contrasts(data[[name]]) <- model$contrasts[[name]]
  answer_lme(data, model)
}

if (sys.nframe() == 0L) {
  for (script in c("tables.R", "models.R", "engines.R")) source(file.path("r_scripts", script))
}

# In place of those of engines.R, for this file alone.
ENGINES <- list(
  "lme4" = function(data, model) coded_lmer(data, model, lme4::lmerControl()),
  "lme4-tight" = function(data, model) coded_lmer(data, model, tight_control()),
  "nlme" = coded_lme
)

if (sys.nframe() == 0L) {
  data(Penicillin, package = "lme4")
  model <- list(
    formula = "diameter ~ sample + (1 | plate)", reml = TRUE, contrasts = list(sample = "contr.sum"),
    kinds = c("coef", "theta")
  )
  answer <- fuzz_answer("lme4", Penicillin, model)
  print(answer$tables)
  print(criterion_at(Penicillin, model, as.matrix(answer$tables$theta)), digits = 10)
}
