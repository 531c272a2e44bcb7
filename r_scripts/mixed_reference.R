# What lme4 answers beside a fit with its defaults: settings of lmerControl(), start=, simulations of
# new data, fits without each row, lmList(), and the semiparametric bootstrap; at a tight optimizer.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/mixed_reference.R > tests/data/mixed_reference.json`.

mixed_frame <- function() {
  set.seed(14)
  n <- 60
  frame <- data.frame(
    x = rnorm(n), w = rep(c(1, 2, 5), n / 3), g = gl(6, 10, n, labels = letters[1:6]),
    h = gl(4, 1, n, labels = LETTERS[1:4]), row = factor(seq_len(n)), pair = gl(30, 2, n),
    one = factor(rep("only", n)), f = gl(3, 1, n, labels = c("u", "v", "w")), k = rep(c(2, 10, 7, 33, 5), each = 12)
  )
  frame$big <- 5e4 * frame$x
  frame$twice <- 2 * frame$x
  frame$y <- 1 + frame$x * (1 + 0.5 * rnorm(6)[frame$g]) + 1.5 * rnorm(6)[frame$g] +
    0.4 * rnorm(4)[frame$h] + 0.7 * rnorm(5)[factor(frame$k)] + rnorm(n)
  frame$v <- rep(c(1, 10, 100), n / 3)
  frame$meta <- 1 + frame$x + 0.8 * rnorm(6)[frame$g] + 0.7 * rnorm(n) + 2 * rnorm(n) / sqrt(frame$v)
  frame$dull <- frame$y - ave(frame$y, frame$g) # no variance between the levels of g
  frame
}

# Other checks are silent, so that a condition is that of the setting which is asked about.
settings_of <- function(...) {
  quiet <- list(
    optimizer = "bobyqa", calc.derivs = FALSE, check.conv.singular = "ignore", check.scaleX = "ignore",
    check.rankX = "silent.drop.cols", optCtrl = list(rhobeg = 0.2, rhoend = 2e-9, maxfun = 1e5)
  )
  do.call(lmerControl, modifyList(quiet, list(...)))
}

fit_of <- function(formula, frame, ..., weights = NULL, start = NULL, REML = TRUE) {
  call <- list(quote(lmer), as.formula(formula, env = globalenv()), quote(frame), REML = REML, control = settings_of(...))
  if (!is.null(weights)) call$weights <- frame[[weights]]
  if (!is.null(start)) call$start <- start
  eval(as.call(call), list(frame = frame))
}

described <- function(fit) {
  list(fixef = as.list(unname(fixef(fit))), theta = as.list(unname(getME(fit, "theta"))), criterion = REMLcrit(fit))
}

# What R does about a check: stop, warning, message or nothing; and the fit, if there is one.
outcome <- function(expression) {
  seen <- "ignore"
  fit <- tryCatch(
    withCallingHandlers(expression,
      warning = function(w) { seen <<- "warning"; invokeRestart("muffleWarning") },
      message = function(m) { seen <<- "message"; invokeRestart("muffleMessage") }
    ),
    error = function(e) { seen <<- "stop"; NULL }
  )
  list(does = seen, fit = if (!is.null(fit)) described(fit))
}

controls <- function(frame) {
  ask <- function(formula, settings, weights = NULL) {
    found <- outcome(do.call(fit_of, c(list(formula, frame, weights = weights), settings)))
    c(list(formula = formula, weights = weights, settings = settings), found)
  }
  rows <- list(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore")
  some <- function(check, actions, formula, more = list()) {
    lapply(actions, function(action) ask(formula, c(setNames(list(action), check), more)))
  }
  all <- c("stop", "warning", "ignore")
  c(
    list(
      ask("y ~ x + (1 | row)", list()),
      ask("meta ~ x + (1 | row)", rows, "v"), ask("meta ~ x + (1 | g) + (1 | row)", rows, "v"),
      ask("y ~ x + (x | pair)", list()), ask("y ~ x + (x | pair)", rows["check.nobs.vs.nRE"])
    ),
    some("check.nobs.vs.nlev", all, "y ~ x + (1 | row)", rows["check.nobs.vs.nRE"]),
    some("check.nobs.vs.nRE", all, "y ~ x + (x | pair)"),
    some("check.nlev.gtr.1", all, "y ~ x + (1 | g) + (1 | one)"),
    some("check.nlev.gtreq.5", all, "y ~ x + (1 | g) + (1 | h)"),
    some("check.nlev.gtreq.5", all, "y ~ x + (1 | g)"),
    some("check.nobs.vs.rankZ", c(all, "warningSmall"), "y ~ x + (x | pair)", rows["check.nobs.vs.nRE"]),
    some("check.nobs.vs.rankZ", "stop", "y ~ x + (1 | pair)"),
    some("check.rankX", c("message+drop.cols", "warn+drop.cols", "silent.drop.cols", "stop.deficient", "ignore"), "y ~ x + twice + (1 | g)"),
    some("check.scaleX", all, "y ~ big + (1 | g)"),
    some("check.scaleX", all, "y ~ x + f + (1 | g)"),
    some("check.conv.singular", c(all, "message"), "dull ~ x + (1 | g)"),
    some("check.conv.singular", "stop", "y ~ x + (1 | g)"),
    list(ask("y ~ x + (1 | g)", list(check.conv.singular = list(action = "stop", tol = 10))))
  )
}

starts <- function(frame) {
  formula <- "y ~ x + (x | g)"
  good <- list(c(1, 0, 1), c(0.1, 0.05, 3), list(theta = c(5, -2, 0.5)), list(theta = c(1, 0, 1), fixef = c(0, 0)))
  bad <- list(c(1, 1), list(theta = 1), list(psi = c(1, 0, 1)), "a", list(theta = c("a", "b", "c")))
  ask <- function(start) c(list(start = start), outcome(fit_of(formula, frame, start = start)))
  list(formula = formula, good = lapply(good, ask), bad = lapply(bad, function(s) ask(s)["does"]))
}

# A deviance with two minima: the start decides in which of them the search ends.
two_minima <- function() {
  frame <- data.frame(
    x = c(-3, -3.3, -4.4, -1.4, 0.1, 0.3, -0.7, 1.3, -0.9, -2, -2.4, 1.4),
    y = c(34.6, 37.3, 34.9, 25, 7.9, 7, 8.5, 4.5, 19.4, 21.9, 24.2, 0.9), g = factor(rep(c("a", "b", "c", "d"), c(4, 4, 3, 1)))
  )
  ask <- function(start) {
    fit <- fit_of("y ~ x + (1 | g)", frame, start = start, REML = FALSE)
    list(start = start, theta = unname(getME(fit, "theta")), criterion = deviance(fit))
  }
  list(frame = frame, answers = lapply(c(0.05, 0.3, 5), ask))
}

new_rows <- function() {
  data.frame(
    x = c(0.5, -1, 2, 0.25, 1, -0.125, 3), g = c("c", "zz", "a", "c", "aa", "zz", "f"), h = c("D", "A", "A", "B", "D", "A", "B"),
    k = c(7, 2, 8, 33, 8, 2, 7)
  )
}

# `equal` sets all θ to one value: lme4 takes θ in the order of the terms that it draws, and from the
# first element on, which is wrong where these are not the terms of the fit in its order.
simulations <- function(frame, new) {
  ask <- function(formula, re_form = "~0", newdata = NULL, levels = FALSE, equal = NULL, weights = NULL) {
    fit <- fit_of(formula, frame, weights = weights)
    theta <- getME(fit, "theta")
    if (!is.null(equal)) {
      theta[] <- equal
      there <- settings_of()
      there["optimizer"] <- list(NULL) # β and σ at this θ
      fit <- suppressWarnings(lmer(as.formula(formula), frame, start = unname(theta), control = there))
    }
    rows <- if (!is.null(newdata)) new[newdata, ]
    set.seed(31)
    drawn <- tryCatch(
      {
        re <- if (is.null(re_form)) NULL else as.formula(re_form)
        suppressWarnings(simulate(fit, nsim = 3, newdata = rows, re.form = re, allow.new.levels = levels))
      },
      error = function(e) NULL
    )
    list(
      formula = formula, weights = weights, theta = as.list(unname(theta)), equal = !is.null(equal), re_form = re_form,
      newdata = as.list(newdata - 1), allow_new_levels = levels, drawn = if (!is.null(drawn)) unname(as.matrix(drawn)),
      after = runif(1)
    )
  }
  known <- c(1, 3, 4, 7)
  list(
    ask("y ~ x + (1 | g)", newdata = known), ask("y ~ x + (x | g)", newdata = known),
    ask("y ~ x + (1 | g)", newdata = 1:7), ask("y ~ x + (1 | g)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (x | g)", newdata = 1:7, levels = TRUE, weights = "w"),
    ask("y ~ x + (x || g)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | g/h)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | g) + (1 | h)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | k)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | g) + (1 | h)", newdata = known),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = NULL, newdata = known),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = NULL, newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = NULL),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = "~ (1 | h)"),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = "~ (1 | h)", newdata = 1:7, levels = TRUE),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = "~ (1 | g)", equal = 0.75),
    ask("y ~ x + (1 | g) + (1 | h)", re_form = "~ (1 | g)"),
    ask("y ~ x + (1 | g) + (1 | h) + (1 | k)", newdata = c(2, 3, 5), levels = TRUE, equal = 0.5),
    ask("y ~ x + (1 | g) + (1 | h)", newdata = c(2, 5, 6, 1), levels = TRUE, equal = 0.5),
    ask("y ~ x + (1 | g) + (1 | h)", newdata = c(1, 4), equal = 0.5),
    ask("y ~ x + (1 | g) + (1 | h)", newdata = c(1, 4))
  )
}

influences <- function(frame) {
  formula <- "y ~ x + (1 | g)"
  fit <- fit_of(formula, frame)
  found <- influence(fit, data = frame)
  values <- function(m) c(fixef(m), sqrt(diag(as.matrix(vcov(m)))), as.data.frame(VarCorr(m))$vcov)
  list(
    formula = formula, cooks = as.list(unname(cooks.distance(found))), dfbeta = unname(dfbeta(found)),
    dfbetas = unname(dfbetas(found)), dfvarcorr = unname(dfbeta(found, "var.cov")),
    by_leverage = as.list(unname(cooks.distance(fit))),
    fits = unname(t(vapply(seq_len(nrow(frame)), function(i) unname(values(fit_of(formula, frame[-i, ]))), numeric(6))))
  )
}

lists <- function(frame) {
  holes <- frame
  holes$y[c(3, 17, 40)] <- NA
  gone <- transform(frame, x = ifelse(g == "b", 1, x))
  flat <- transform(frame, f = factor(ifelse(g == "c", "u", as.character(f))))
  ask <- function(formula, data, weights = NULL) {
    frame <- list(plain = frame, holes = holes, gone = gone, flat = flat)[[data]]
    call <- list(quote(lmList), as.formula(formula), quote(frame))
    if (!is.null(weights)) call$weights <- frame[[weights]]
    fit <- suppressWarnings(eval(as.call(call)))
    all <- !any(vapply(fit, is.null, NA))
    table <- summary(fit)$coefficients
    limits <- function(pool) if (all) lapply(dimnames(table)[[3]], function(x) unname(confint(fit, pool = pool)[, , x]))
    list(
      formula = formula, data = data, weights = weights, levels = as.list(names(fit)), names = as.list(names(coef(fit))),
      coef = unname(as.matrix(coef(fit))), sigma = sigma(fit), df_resid = summary(fit)$df.residual,
      std_error = unname(as.matrix(table[, 2, ])), p = unname(as.matrix(table[, 4, ])), own = limits(FALSE), pooled = limits(TRUE),
      fixef = as.list(unname(fixef(fit))), log_lik = if (all) as.numeric(logLik(fit)),
      fitted = if (data != "holes") as.list(unname(fitted(fit))),
      predicted = as.list(unname(vapply(c(4, 15, 58), function(i) unname(predict(fit, transform(frame[i, ], x = 2 * x))), 0))),
      text = if (all) as.list(capture.output(print(summary(fit))))
    )
  }
  list(
    ask("y ~ x | g", "plain"), ask("y ~ x | g", "plain", "w"), ask("y ~ x + f | g", "plain"), ask("y ~ 1 | g", "plain"),
    ask("y ~ x | k", "plain"), ask("y ~ x | g", "holes"), ask("y ~ x | g", "gone"), ask("y ~ x + f | g", "flat")
  )
}

# A logical response, a difference of terms, dates as numbers and as groups.
others <- function(frame) {
  frame$late <- frame$y > 1
  frame$day <- as.Date("2020-02-20") + frame$k
  lapply(
    c("late ~ x + (1 | g)", "y ~ x:(h + w - 1) + (1 | g)", "y ~ day + (1 | g)", "y ~ x + (1 | day)", "y ~ 1 | g"),
    function(formula) {
      fit <- suppressWarnings(fit_of(formula, frame))
      c(list(formula = formula, names = as.list(names(fixef(fit)))), described(fit))
    }
  )
}

semiparametric <- function(frame) {
  lapply(c("y ~ x + (1 | g)", "y ~ x + (1 | g) + (1 | h)"), function(formula) {
    fit <- fit_of(formula, frame)
    drawn <- suppressMessages(bootMer(fit, fixef, nsim = 6, seed = 9, use.u = TRUE, type = "semiparametric"))
    list(formula = formula, theta = as.list(unname(getME(fit, "theta"))), t = unname(drawn$t), after = runif(1))
  })
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"), width = 80)
  suppressPackageStartupMessages(library(lme4))
  source("r_scripts/lmm_reference.R")
  frame <- mixed_frame()
  new <- new_rows()
  out <- list(
    R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
    frames = list(mixed = frame, new = transform(new, g = factor(g), h = factor(h))),
    controls = controls(frame), starts = starts(frame), two_minima = two_minima(), simulations = simulations(frame, new),
    influence = influences(frame), lists = lists(frame), semiparametric = semiparametric(frame),
    others = others(frame)
  )
  cat(json(plain(out)), "\n")
}
