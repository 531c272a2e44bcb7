# R's side of benchmarks/speed.py: seconds that lme4 takes, measured inside R.

speed <- function(nsim) {
  suppressPackageStartupMessages(library(lme4))
  data <- document_data()
  seconds <- function(code) unname(system.time(code)["elapsed"])
  mod <- document_lmer(data)
  c(
    lmer = seconds(for (i in 1:20) document_lmer(data)) / 20,
    simulate_u = seconds(document_boot(mod, nsim, FALSE)),
    fix_u = seconds(document_boot(mod, nsim, TRUE))
  )
}
