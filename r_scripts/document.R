# The question's code: one data set, a mixed and a fixed-effects model of it, two bootstraps.
# Plain functions; by hand, `Rscript document.R` prints what the question prints (about 3 minutes).

document_data <- function(points = 10, n = 10) {
  generatepoint <- function(ppt, n) {
    x <- rnorm(n) + ppt
    y <- -x + 10 + 2 * ppt + rnorm(n, sd = .1)
    cbind(x = x, y = y, p = ppt)
  }
  data <- as.data.frame(do.call(rbind, lapply(seq_len(points), generatepoint, n)))
  data$p <- factor(data$p)
  data
}

document_lmer <- function(data, ...) lme4::lmer(y ~ x + (1 | p), data = data, ...)

document_lm <- function(data, contrasts) {
  contrasts(data$p) <- contrasts
  lm(y ~ x + p, data = data)
}

document_boot <- function(mod, nsim, use.u) {
  message("bootMer, use.u = ", use.u, ": ", nsim, " replicates")
  lme4::bootMer(mod, lme4::fixef, nsim = nsim, use.u = use.u)
}

# Everything the case asks for, from the one stream that the caller has seeded: the data, then the
# bootstrap with use.u = FALSE, then the one with use.u = TRUE. What comes after has a seed of its own.
document <- function(nsim = 10000, nsim_confint = 500) {
  suppressPackageStartupMessages(library(lme4))
  message("data and models")
  data <- document_data()
  mod <- document_lmer(data)
  fmod <- document_lm(data, contr.sum(nlevels(data$p)))
  boots <- list(
    boot_simulate_u = boot_tables(document_boot(mod, nsim, FALSE)),
    boot_fix_u = boot_tables(document_boot(mod, nsim, TRUE))
  )
  ml <- document_lmer(data, REML = FALSE)
  # The default optimizer at the time of the question; today's default is another one.
  bobyqa <- document_lmer(data, control = lmerControl(optimizer = "bobyqa"))
  message("confint of the mixed model by profile")
  confint_profile <- confint_table(confint(mod, method = "profile", quiet = TRUE))
  message("confint of the mixed model by bootstrap: ", nsim_confint, " replicates")
  confint_boot <- confint_table(
    confint(mod, method = "boot", nsim = nsim_confint, seed = 1, quiet = TRUE)
  )
  list(
    tables = c(
      list(data = data),
      flatten_tables(c(
        list(
          lmer = c(
            lmer_tables(mod),
            list(confint_profile = confint_profile, confint_boot = confint_boot)
          ),
          lmer_ml = lmer_tables(ml),
          lmer_bobyqa = lmer_tables(bobyqa)[c("coef", "varcorr", "theta", "glance")],
          lm = lm_tables(fmod),
          lm_treatment = lm_tables(document_lm(data, contr.treatment(levels(data$p))))
        ),
        boots
      ))
    ),
    notes = list(
      lmer = optimizer_note(mod), lmer_ml = optimizer_note(ml), lmer_bobyqa = optimizer_note(bobyqa)
    )
  )
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  set.seed(1)
  data <- document_data()
  mod <- document_lmer(data)
  cat("\n\nMixed Model\n\n")
  print(summary(mod))
  cat("\n\nFixed Model\n\n")
  print(summary(document_lm(data, contr.sum(10))))
  booted.simulate.u <- document_boot(mod, 10000, FALSE)
  booted.fix.u <- document_boot(mod, 10000, TRUE)
  print(apply(booted.simulate.u$t, 2, sd))
  print(apply(booted.fix.u$t, 2, sd))
}
