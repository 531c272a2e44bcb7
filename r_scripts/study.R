# The question asked of many data sets: what lm, lmer and both bootstraps say of the intercept and the slope,
# in the world where the lines stay (x and the noise are drawn anew) and in the one where the lines are drawn
# anew as well. harness/study/design.py says what the arguments mean.
# Plain functions; by hand, `Rscript study.R [WORLD] [SEED]` prints one data set's answers (about 10 seconds).

# In the fixed world, with these defaults, it draws what document_data() of document.R draws.
study_data <- function(world, points = 10, n = 10, sd = .1, slope = -1, step = 2) {
  centre <- step * (points + 1) / 2
  spread <- step * sqrt(points * (points + 1) / 12)
  d <- if (world == "fixed") step * seq_len(points) else rnorm(points, centre, spread)
  counts <- rep_len(n, points)
  one <- function(i) {
    x <- rnorm(counts[i]) + i
    data.frame(x = x, y = slope * x + 10 + d[i] + rnorm(counts[i], sd = sd), p = i)
  }
  data <- do.call(rbind, lapply(seq_len(points), one))
  data$p <- factor(data$p)
  data
}

# One data set's answers from the stream that `seed` starts: the data, then the bootstrap with
# use.u = FALSE, then the one with use.u = TRUE, as in the question. One row for each interval.
study_answers <- function(world, seed, nsim, ...) {
  set.seed(seed)
  data <- study_data(world, ...)
  fixed <- data
  contrasts(fixed$p) <- contr.sum(nlevels(fixed$p))
  fmod <- lm(y ~ x + p, data = fixed)
  mod <- lme4::lmer(y ~ x + (1 | p), data = data)
  answers <- function(estimate, std_error, interval) {
    parameters <- c("(Intercept)", "x")
    found <- rbind(estimate[parameters], std_error[parameters], t(interval[parameters, ]))
    rownames(found) <- c("estimate", if (!is.null(std_error)) "std_error", "conf_low", "conf_high")
    found
  }
  boot <- function(use.u) {
    b <- lme4::bootMer(mod, lme4::fixef, nsim = nsim, use.u = use.u)
    answers(lme4::fixef(mod), apply(b$t, 2L, sd), confint(b, type = "perc"))
  }
  mixed <- coef(summary(mod))
  list(
    lm = answers(coef(fmod), coef(summary(fmod))[, 2L], confint(fmod)),
    wald = answers(mixed[, 1L], mixed[, 2L], confint(mod, method = "Wald")),
    profile = answers(
      mixed[, 1L], NULL, confint(mod, parm = "beta_", method = "profile", quiet = TRUE)
    ),
    boot_simulate_u = boot(FALSE),
    boot_fix_u = boot(TRUE)
  )
}

# A table for each interval: a row for each seed, a column "parameter.column" for each number.
study_tables <- function(world, seeds, nsim, ...) {
  found <- lapply(seeds, function(seed) {
    message(world, " world, seed ", seed, " of ", max(seeds))
    # By name: `n` among the others would be taken for the beginning of `nsim`.
    study_answers(world, seed = seed, nsim = nsim, ...)
  })
  sapply(names(found[[1L]]), simplify = FALSE, function(interval) {
    rows <- t(sapply(found, function(one) c(one[[interval]])))
    one <- found[[1L]][[interval]]
    colnames(rows) <- c(outer(rownames(one), colnames(one), function(r, c) paste(c, r, sep = ".")))
    as.data.frame(rows, row.names = as.character(seeds), optional = TRUE)
  })
}

study <- function(seeds = 1:50, nsim = 100, ...) {
  suppressPackageStartupMessages(library(lme4))
  worlds <- c("fixed", "random")
  tables <- lapply(worlds, study_tables, seeds = as.integer(seeds), nsim = nsim, ...)
  names(tables) <- worlds
  list(tables = flatten_tables(tables))
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  arguments <- commandArgs(trailingOnly = TRUE)
  world <- if (length(arguments) > 0L) arguments[1L] else "fixed"
  seed <- if (length(arguments) > 1L) as.integer(arguments[2L]) else 1L
  print(study_answers(world, seed, 100))
}
