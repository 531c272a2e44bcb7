# An R engine's answer to a mixed model whose factors have the contrasts that the question names.
# Plain functions, which need tables.R, models.R and engines.R; by hand, from the project's root,
# `Rscript --vanilla r_scripts/coded.R` shows lme4 on the cakes, with contrasts that sum to zero.

# As engine_answer(); `model` also has contrasts, factor to the name of a function.
coded_answer <- function(engine, data, model) {
  for (name in names(model$contrasts)) contrasts(data[[name]]) <- model$contrasts[[name]]
  engine_answer(engine, data, model)
}

if (sys.nframe() == 0L) {
  for (script in c("tables.R", "models.R", "engines.R")) source(file.path("r_scripts", script))
  data(cake, package = "lme4")
  model <- list(
    formula = "angle ~ recipe + (1 | recipe:replicate)", reml = TRUE, kinds = c("coef", "theta"),
    contrasts = list(recipe = "contr.sum")
  )
  print(coded_answer("lme4", cake, model), digits = 10)
}
