# What R's objects become before they cross to Python: for each class, a function that returns a
# plain value (a vector, an array, a table, or a list of these). An object of several classes takes
# the first that is here. `prelude.R` reads this file; its `simplify` says what other classes become.
#
# - Data become plain data: a time series has its times as names, a distance its pairs.
# - The result of a function, such as a test, has its fields, under R's own names.
# - A fitted model has the tables of the package broom, under broom's names, whether or not broom is
#   installed: `tidy` (a row for each term), `glance` (one row), `augment` (a row for each
#   observation), and beside them `vcov`, the covariance matrix of the estimates.
local({
  # Fields that are NULL are left out.
  fields <- function(...) function(x)
    Filter(Negate(is.null), unclass(x)[intersect(c(...), names(x))])
  bare <- function(x) { attributes(x) <- attributes(x)[c("names", "dim", "dimnames")]; x }
  refuse <- function(what, remedy)
    stop(structure(class = c("refusal", "error", "condition"),
                   list(message = what, call = NULL, problem = c(what, remedy))))
  number <- function(x) as.vector(x)[1]
  given <- function(x, otherwise = NA_real_) if (is.null(x)) otherwise else x

  # Data -----------------------------------------------------------------------------------------

  # 1949-03 by month, 1949Q1 by quarter, 1949 by year, 1949:2 (the second of its cycle) otherwise.
  times <- function(x) {
    tsp <- stats::tsp(x)
    frequency <- tsp[3]
    if (tsp[1] == 1 && frequency == 1) return(NULL)
    step <- round(tsp[1] * frequency) + seq_len(NROW(x)) - 1
    if (frequency != round(frequency) || abs(step[1] - tsp[1] * frequency) > 1e-6)
      return(as.character(signif(as.vector(stats::time(x)), 12)))
    cycle <- step %% frequency + 1
    year <- step %/% frequency
    if (frequency == 1) as.character(year)
    else if (frequency == 12) sprintf("%d-%02d", as.integer(year), as.integer(cycle))
    else if (frequency == 4) sprintf("%dQ%d", as.integer(year), as.integer(cycle))
    else paste(year, cycle, sep = ":")
  }
  series <- function(x) {
    labels <- times(x)
    if (is.matrix(x)) {
      names <- dimnames(x)[[2]]
      bare(matrix(x, nrow(x), dimnames = if (!is.null(c(labels, names))) list(labels, names)))
    } else stats::setNames(as.vector(x), labels)
  }
  # In the order of scipy.spatial.distance.pdist.
  distances <- function(x) {
    labels <- attr(x, "Labels")
    n <- attr(x, "Size")
    first <- rep(seq_len(n), n - seq_len(n))
    second <- unlist(lapply(seq_len(n), function(i) seq_len(n)[seq_len(n) > i]))
    stats::setNames(as.vector(x),
                    if (!is.null(labels)) paste(labels[first], labels[second], sep = "-"))
  }
  most <- 1e7  # cells of a matrix
  dense <- function(x) {
    if (prod(as.numeric(dim(x))) > most)
      refuse(sprintf("a matrix of class %s with more than 10 million cells", class(x)),
             "return Matrix::summary() of it, the table of its nonzero elements")
    methods::as(x, "matrix")
  }

  # Models ---------------------------------------------------------------------------------------

  named <- c(
    Estimate = "estimate", coef = "estimate", Value = "estimate",
    `Std. Error` = "std.error", `Std.Error` = "std.error", SE = "std.error",
    `se(coef)` = "std.error", `robust se` = "robust.se", `t value` = "statistic", `z value` = "statistic", z = "statistic",
    t = "statistic", `t-value` = "statistic", `F value` = "statistic", F = "statistic",
    `Pr(>|t|)` = "p.value", `Pr(>|z|)` = "p.value", p = "p.value", `p-value` = "p.value",
    `Pr(>F)` = "p.value", Df = "df", df = "df", `Sum Sq` = "sumsq", `Mean Sq` = "meansq",
    edf = "edf", `Ref.df` = "ref.df")
  # A table of a summary as a data frame, whose columns have broom's names where broom has one.
  tidy <- function(table) {
    table <- as.data.frame(table, optional = TRUE)
    rows <- trimws(rownames(table))
    columns <- intersect(names(table), names(named))
    out <- table[columns]
    names(out) <- named[columns]
    structure(as.list(out), class = "data.frame",
              row.names = if (nrow(table)) rows else integer())
  }
  coefficients_of <- function(x) summary(x)$coefficients
  # One row. What a model does not have is left out; a fit by REML has no deviance.
  glance <- function(x, ..., reml = FALSE) {
    measures <- list(
      logLik = function() as.numeric(stats::logLik(x)), AIC = function() stats::AIC(x),
      BIC = function() stats::BIC(x), deviance = function() stats::deviance(x),
      df.residual = function() stats::df.residual(x), nobs = function() stats::nobs(x))
    own <- Filter(Negate(is.null), list(...))
    if (reml) measures$deviance <- NULL
    missing <- measures[setdiff(names(measures), names(own))]
    found <- lapply(missing, function(f) tryCatch(f(), error = function(e) NULL))
    as.data.frame(Filter(function(v) length(v) == 1, c(own, found)), optional = TRUE)
  }
  per_row <- function(...) {
    columns <- list(...)
    labels <- names(columns[[1]])
    columns <- lapply(columns, function(column) as.vector(column))
    if (is.null(labels) || anyDuplicated(labels)) as.data.frame(columns, optional = TRUE)
    else structure(columns, class = "data.frame", row.names = labels)
  }
  fitted_and_residuals <- function(x)
    per_row(.fitted = stats::fitted(x), .resid = stats::residuals(x))
  cases <- function(x, fitted = stats::fitted(x)) {
    influence <- stats::influence(x, do.coef = FALSE)
    per_row(.fitted = fitted, .resid = stats::residuals(x), .hat = influence$hat,
            .sigma = influence$sigma, .cooksd = stats::cooks.distance(x),
            .std.resid = stats::rstandard(x))
  }
  # Rows for coefficients that R leaves out because they follow from others: NA, as in broom.
  whole <- function(table, x) {
    all <- names(stats::coef(x))
    missing <- setdiff(all, rownames(table))
    if (length(missing))
      table <- rbind(table, matrix(NA_real_, length(missing), ncol(table),
                                   dimnames = list(missing, NULL)))[all, , drop = FALSE]
    table
  }
  linear <- function(x) {
    s <- summary(x)
    f <- given(s$fstatistic, c(NA_real_, NA_real_, NA_real_))
    list(
      tidy = tidy(whole(s$coefficients, x)),
      glance = glance(x, r.squared = s$r.squared, adj.r.squared = s$adj.r.squared, sigma = s$sigma,
                      statistic = f[[1]],
                      p.value = stats::pf(f[[1]], f[[2]], f[[3]], lower.tail = FALSE), df = f[[2]]),
      augment = cases(x), vcov = stats::vcov(x))
  }
  general <- function(x) list(
    tidy = tidy(whole(coefficients_of(x), x)),
    glance = glance(x, null.deviance = x$null.deviance, df.null = x$df.null),
    augment = cases(x, x$linear.predictors), vcov = stats::vcov(x))
  analysis <- function(x) list(
    tidy = tidy(summary(x, intercept = FALSE)[[1]]),
    glance = glance(x, r.squared = stats::summary.lm(x)$r.squared))
  nonlinear <- function(x) list(
    tidy = tidy(coefficients_of(x)),
    glance = glance(x, sigma = summary(x)$sigma, isConv = x$convInfo$isConv,
                    finTol = x$convInfo$finTol),
    augment = fitted_and_residuals(x), vcov = stats::vcov(x))
  arima_fit <- function(x) {
    free <- x$mask
    errors <- stats::setNames(rep(NA_real_, length(x$coef)), names(x$coef))
    errors[free] <- sqrt(diag(x$var.coef))
    list(tidy = data.frame(estimate = x$coef, std.error = errors, row.names = names(x$coef)),
         glance = glance(x, sigma = sqrt(x$sigma2)),
         augment = per_row(.resid = series(x$residuals)), vcov = x$var.coef)
  }
  cox <- function(x) {
    s <- summary(x)
    list(tidy = tidy(s$coefficients),
         glance = glance(x, n = s$n, nevent = s$nevent, statistic.log = s$logtest[["test"]],
                         p.value.log = s$logtest[["pvalue"]], statistic.sc = s$sctest[["test"]],
                         p.value.sc = s$sctest[["pvalue"]], statistic.wald = s$waldtest[["test"]],
                         p.value.wald = s$waldtest[["pvalue"]],
                         statistic.robust = s$robscore[["test"]],
                         p.value.robust = s$robscore[["pvalue"]],
                         r.squared = s$rsq[["rsq"]], r.squared.max = s$rsq[["maxrsq"]],
                         concordance = s$concordance[[1]],
                         std.error.concordance = s$concordance[[2]], nobs = s$n),
         vcov = stats::vcov(x))
  }
  curves <- function(x) {
    columns <- list(time = x$time, n.risk = x$n.risk, n.event = x$n.event, n.censor = x$n.censor,
                    estimate = x$surv, std.error = x$std.err, conf.high = x$upper,
                    conf.low = x$lower)
    if (!is.null(x$strata)) columns$strata <- rep(names(x$strata), x$strata)
    list(tidy = as.data.frame(Filter(Negate(is.null), columns), optional = TRUE))
  }
  parametric_survival <- function(x) {
    s <- summary(x)
    df <- sum(x$df) - x$idf
    list(tidy = tidy(s$table),
         glance = glance(x, iter = x$iter, df = sum(x$df), statistic = s$chi, scale = x$scale[1],
                         p.value = stats::pchisq(s$chi, df, lower.tail = FALSE)),
         vcov = stats::vcov(x))
  }
  additive <- function(x) {
    s <- summary(x)
    found <- list(
      tidy = if (length(s$s.table)) tidy(s$s.table),
      parametric = if (length(s$p.table)) tidy(s$p.table),
      glance = glance(x, df = sum(x$edf), adj.r.squared = s$r.sq, scale = s$scale,
                      dev.expl = s$dev.expl, gcv = number(x$gcv.ubre)),
      augment = fitted_and_residuals(x), vcov = stats::vcov(x))
    Filter(Negate(is.null), found)
  }
  mixed <- function(x) {
    variances <- as.data.frame(lme4::VarCorr(x))
    modes <- as.data.frame(lme4::ranef(x, condVar = TRUE))
    names(modes)[4:5] <- c("estimate", "std.error")
    reml <- lme4::isREML(x)
    criterion <- if (reml) list(REMLcrit = lme4::REMLcrit(x))
    list(tidy = tidy(coefficients_of(x)), ran_pars = variances,
         ran_vals = as.data.frame(lapply(modes, function(v)
           if (is.factor(v)) as.character(v) else v)),
         glance = do.call(glance, c(list(x, sigma = stats::sigma(x), reml = reml), criterion)),
         augment = fitted_and_residuals(x), vcov = as.matrix(stats::vcov(x)))
  }
  generalised <- function(x) list(
    tidy = tidy(summary(x)$tTable),
    glance = glance(x, sigma = x$sigma, reml = identical(x$method, "REML")),
    augment = fitted_and_residuals(x), vcov = stats::vcov(x))
  list(
    # Data
    POSIXlt = as.POSIXct, table = bare, ts = series, mts = series, dist = distances,
    AsIs = function(x) {
      class(x) <- setdiff(class(x), "AsIs")
      x
    },
    noquote = bare, numeric_version = as.character, logLik = function(x)
      c(logLik = number(x), df = attr(x, "df"), nobs = given(attr(x, "nobs"))),
    Surv = function(x) bare(as.matrix(x)), Matrix = dense,
    rle = fields("lengths", "values"), by = function(x) stats::setNames(c(x), names(x)),
    # Results of functions
    htest = fields("statistic", "parameter", "p.value", "conf.int", "estimate", "null.value",
                   "stderr", "alternative", "method"),
    pairwise.htest = fields("p.value", "method", "p.adjust.method"),
    power.htest = fields("n", "delta", "sd", "p1", "p2", "groups", "between.var", "within.var",
                         "sig.level", "power", "alternative", "method"),
    TukeyHSD = function(x) lapply(stats::setNames(unclass(x)[seq_along(x)], names(x)), bare),
    prcomp = fields("sdev", "rotation", "center", "scale", "x"),
    princomp = function(x) c(list(loadings = bare(x$loadings)),
                             fields("sdev", "center", "scale", "n.obs", "scores")(x)),
    loadings = bare,
    factanal = function(x) c(list(loadings = bare(x$loadings)),
                             fields("uniquenesses", "correlation", "STATISTIC", "dof", "PVAL")(x)),
    hclust = fields("merge", "height", "order", "labels", "method", "dist.method"),
    kmeans = fields("cluster", "centers", "totss", "withinss", "tot.withinss", "betweenss", "size",
                    "iter", "ifault"),
    density = fields("x", "y", "bw", "n"),
    histogram = fields("breaks", "counts", "density", "mids"),
    integrate = fields("value", "abs.error", "subdivisions", "message"),
    acf = function(x) {
      kept <- drop(x$acf)
      lag <- drop(x$lag)
      list(acf = kept, lag = lag, type = x$type, n.used = x$n.used)
    },
    spec = fields("freq", "spec", "df", "bandwidth", "method"),
    stl = function(x) list(time.series = x$time.series, weights = x$weights),
    HoltWinters = fields("fitted", "x", "alpha", "beta", "gamma", "coefficients", "SSE"),
    loess = fields("n", "fitted", "residuals", "enp", "s", "one.delta", "two.delta", "trace.hat"),
    smooth.spline = fields("x", "y", "w", "lev", "df", "lambda", "spar", "crit", "pen.crit"),
    isoreg = fields("x", "y", "yf", "isOrd"), summary.lm = fields(
      "coefficients", "sigma", "df", "r.squared", "adj.r.squared", "fstatistic", "cov.unscaled",
      "residuals"),
    summary.glm = fields("coefficients", "dispersion", "deviance", "null.deviance", "df.residual",
                         "df.null", "aic", "iter", "cov.scaled", "cov.unscaled", "deviance.resid"),
    summary.aov = function(x) if (length(x) == 1) x[[1]] else lapply(
      stats::setNames(seq_along(x), names(x)), function(i) x[[i]]),
    summary.nls = fields("coefficients", "sigma", "df", "residuals", "cov.unscaled"),
    summary.coxph = fields("n", "nevent", "coefficients", "conf.int", "logtest", "sctest",
                           "waldtest", "rsq", "concordance"),
    summary.merMod = function(x) list(
      coefficients = x$coefficients, varcor = as.data.frame(x$varcor), sigma = x$sigma,
      AICtab = bare(x$AICtab), ngrps = x$ngrps),
    VarCorr.merMod = as.data.frame,
    survdiff = fields("n", "obs", "exp", "var", "chisq", "pvalue"), survfit = curves,
    lda = fields("prior", "counts", "means", "scaling", "lev", "svd", "N"),
    # Models
    aov = analysis, glm = general, lm = linear, nls = nonlinear, Arima = arima_fit, coxph = cox,
    survreg = parametric_survival, gam = additive, merMod = mixed, lme = generalised,
    gls = generalised, rlm = function(x) list(
      tidy = tidy(coefficients_of(x)), glance = glance(x, sigma = x$s, converged = x$converged),
      augment = fitted_and_residuals(x), vcov = stats::vcov(x)), polr = function(x) list(
      tidy = tidy(suppressMessages(summary(x))$coefficients),
      glance = glance(x, edf = x$edf),
      vcov = suppressMessages(stats::vcov(x))),
    aovlist = function(x) list(strata = lapply(
      Filter(function(s) s$df.residual > 0 || length(stats::coef(s)) > 0,
             unclass(x)[setdiff(names(x), "(Intercept)")]),
      function(s) tidy(summary(s)[[1]]))),
    negbin = function(x) c(general(x), list(theta = c(theta = x$theta, SE.theta = x$SE.theta)))
  )
}, envir = new.env(parent = baseenv()))
