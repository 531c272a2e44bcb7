# R's answers for a mixed model of a data set that ships with lme4, or of a design drawn here.
# Plain functions; by hand, `Rscript models.R [DATASET FORMULA]` prints the tight fit's summary.

# Unbalanced groups of 1 to 50 rows, prior weights, an offset and a random slope.
weighted <- function() {
  size <- round(seq(1, 50, length.out = 16))
  g <- factor(rep(seq_along(size), size))
  n <- length(g)
  x <- rnorm(n)
  o <- runif(n, -2, 2)
  w <- runif(n, .5, 2)
  u <- rnorm(nlevels(g), sd = 1.5)
  v <- .4 * u + rnorm(nlevels(g), sd = .6)
  y <- 3 + 2 * x + o + u[g] + v[g] * x + rnorm(n, sd = 1 / sqrt(w))
  data.frame(y = y, x = x, o = o, w = w, g = g)
}

# A factor of three levels whose effects vary between groups and are correlated.
factor_slopes <- function() {
  data <- expand.grid(rep = 1:4, f = factor(c("a", "b", "c")), g = factor(1:18))
  L <- matrix(c(1, .5, .3, 0, 1.2, -.4, 0, 0, 1), 3)
  b <- matrix(rnorm(18 * 3), 18) %*% t(L)
  f <- as.integer(data$f)
  data$y <- 10 + c(0, 1, -1)[f] + b[cbind(as.integer(data$g), 1)] +
    ifelse(f > 1, b[cbind(as.integer(data$g), f)], 0) + rnorm(nrow(data), sd = .5)
  data[c("y", "f", "g")]
}

model_data <- function(dataset) {
  own <- list(weighted = weighted, factor_slopes = factor_slopes)
  if (dataset %in% names(own)) return(own[[dataset]]())
  found <- new.env()
  data(list = dataset, package = "lme4", envir = found)
  droplevels(as.data.frame(found[[dataset]]))
}

# nloptr fills in xtol_rel = 1e-4 where it is not set, and lme4 does not set it: these controls let the
# optimizer run until rounding stops it.
tight_control <- function() {
  lme4::lmerControl(
    optCtrl = list(
      xtol_rel = 1e-10, xtol_abs = 1e-12, ftol_rel = 0, ftol_abs = 0, maxeval = 10000
    )
  )
}

model_fit <- function(data, formula, REML, control, weights = NULL) {
  arguments <- list(as.formula(formula), data = data, REML = REML, control = control)
  if (!is.null(weights)) arguments$weights <- data[[weights]]
  do.call(lme4::lmer, arguments)
}

everything <- function(fit) {
  c(lme4::fixef(fit), lme4::getME(fit, "theta"), sigma = sigma(fit))
}

# All that a case asks for: the tables of each fit (or those `kinds` of them), and where `profile` and
# `boot` say so the costly ones. `profile` is the step along zeta in units of the cutoff; lme4 reads
# intervals off a spline through the profile, at its default step of 1/8 to 4 digits.
model <- function(dataset, formula, weights = NULL, kinds = NULL, profile = 1 / 32, boot = TRUE,
                  nsim = 200) {
  suppressPackageStartupMessages(library(lme4))
  data <- model_data(dataset)
  fits <- list()
  for (reml in c(TRUE, FALSE)) {
    for (tight in c(FALSE, TRUE)) {
      name <- paste0("lmer", if (!reml) "_ml", if (tight) "_tight")
      message(dataset, ": ", name)
      control <- if (tight) tight_control() else lmerControl()
      fits[[name]] <- model_fit(data, formula, reml, control, weights)
    }
  }
  parts <- lapply(fits, function(fit) {
    tables <- lmer_tables(fit)
    if (is.null(kinds)) tables else tables[kinds]
  })
  tight <- fits$lmer_tight
  if (!is.null(profile)) {
    message(dataset, ": profile")
    parts$lmer_tight$confint_profile <-
      confint_table(confint(profile(tight, delta.cutoff = profile, maxpts = 1000)))
  }
  if (boot) {
    for (use.u in c(FALSE, TRUE)) {
      name <- if (use.u) "boot_fix_u" else "boot_simulate_u"
      message(dataset, ": ", name)
      parts[[name]] <- boot_tables(
        bootMer(tight, everything, nsim = nsim, use.u = use.u, seed = 101L + use.u)
      )
    }
  }
  list(
    tables = c(list(data = data), flatten_tables(parts)), notes = lapply(fits, optimizer_note)
  )
}

if (sys.nframe() == 0L) {
  arguments <- commandArgs(trailingOnly = TRUE)
  if (length(arguments) < 2L) arguments <- c("sleepstudy", "Reaction ~ Days + (Days | Subject)")
  set.seed(1)
  print(summary(model_fit(model_data(arguments[1]), arguments[2], TRUE, tight_control())))
}
