# What R makes of the expressions that formulas may hold: by topic, the model matrices of lm and lme4, and the
# fits of those with random effects, in the two locales that sort text differently.
# By hand, `Rscript --vanilla r_scripts/formulas.R > tests/data/formulas.json`.

# Small frames that Python rebuilds without a random stream: all numbers are fractions with few bits.
formula_frames <- function() {
  i <- 0:35
  plain <- data.frame(
    y = ((7 * i^2 + 3 * i) %% 31) / 4 + c(0, 6, -3, 9, 3, -6)[1 + i %% 6] + c(0, 3, -6, 6)[1 + i %/% 9],
    x = ((11 * i) %% 23) / 8 - 1, z = ((5 * i * i + i) %% 29) / 16 + 0.25,
    p = ((13 * i) %% 37 + 1) / 64, k = as.integer((i * i) %% 7), n = as.integer((3 * i) %% 10 - 4),
    year = as.integer(1990 + i %% 13), f = factor(c("lo", "mid", "hi")[1 + i %% 3], levels = c("lo", "mid", "hi")),
    h = c("hi", "Lo", "apple", "Banana", "_x")[1 + (i %/% 2) %% 5],
    o = factor(c("a", "b", "c", "d")[1 + (i * i) %% 4 + i %% 3], levels = c("b", "a", "d", "c"), ordered = TRUE),
    lg = (i * i) %% 5 > 1, lh = i %% 4 == 0, g = factor(i %% 6), s = c("s 1", "S2", "s-3", "S4")[1 + i %/% 9],
    dt = as.Date("2020-02-20") + i %% 9, tm = as.POSIXct("2020-02-20 12:00:00", tz = "UTC") + 1800 * (i %% 7),
    num = as.character(i %% 4)
  )
  plain[["a b"]] <- (2 * i) %% 5
  gaps <- plain
  gaps$x[c(3, 11)] <- NA
  gaps$lg[5] <- NA
  gaps$f[c(8, 20)] <- NA
  gaps$h[c(9, 10)] <- NA
  gaps$z[1] <- -1
  list(plain = plain, gaps = gaps)
}

# Right-hand sides by topic; those with a bar are fitted by lmer, too.
formula_queries <- function() {
  list(
    comparisons = c(
      "(f == 'hi')", "x < 0 & z > 1", "(x > 0) + (z >= 1)", "I((x > 0) + (z > 1))", "(h != 'hi'):z", "(o < 'd') + x",
      "(!(x < 0 & z > 1)):f - 1", "(k == 3L) * x", "xor(lg, lh)", "(h < 'b') + x", "(f == 'hi') + (x > 0) + (1 | g)"
    ),
    logic = c(
      "!lg", "x + !lg", "lg:lh", "lg*x", "I(lg + lh)", "I(lg * x)", "abs(lg)", "floor(lg) + lh", "exp(lg)", "I(!lg & lh)",
      "as.logical(k)", "(lg == TRUE) + x", "x + (lg | g)"
    ),
    algebra = c(
      "TRUE + x", "FALSE + x", "x + NULL", "x - 1 + f", "x %in% z", "f %in% lg + x", "(x + z + f)^2", "(x + z + k + n)^3",
      "k:(x + z - 1)", "x*z - x", "f/x", "(f + lg)/(x + z)", "(x - 1)*f", "x:z + x:f", "x + x", "-1 + f:x", "x*f*lg - x:f:lg",
      "sqrt(z)*-1", "x*f^2", "x + ((z))", "`a b`*x", "x + -f + z + f", "x + 0 + z + 1", "(x + f*lg)^2", "(x*z + k)^2", "(x + z/f + n)^3", "(x %in% f + lg)^2 - x", "x - offset(z)", "offset(z)*x",
      "x + offset(2*z) + (1 | g)"
    ),
    dot = c("y ~ .", "y ~ . - dt - tm", "y ~ .:x", "log(y + 20) ~ . - h", "y ~ (x + .)", "y ~ . - g - s - h - dt - tm + (1 | g)"),
    brackets = c("(x)*(z)", "I((x + 1) * (z))", "((x + z))^2", "I(((x)))", "(x):(f)"),
    arithmetic = c(
      "I(k %% 3) + x %% 2", "I(3L %/% k)", "I(3 %/% (k + 1L))", "I(x*0.12345678901234567)",  "I(n %/% 2) + I(x %/% 0.5)", "I(x %% 0.1)", "I(n %% 3L):f", "I(x^2L) + I(z^-1)", "I(-x) + I(+z)",
      "I(x/2 - z*3)", "I(2^k)", "I(x*1e5 + 100000)", "I(-x^2)", "I(1e-5*z/(x^2 + 1))", "I(n*k)", "I((x + z)/(1 + k)^2)",
      "I(z^0.5)", "I(x*TRUE)", "I(z**2)"
    ),
    conversions = c(
      "as.numeric(f)", "as.numeric(num) + x", "as.integer(x*3)", "as.integer(num):z", "as.factor(k) + x", "as.character(n)",
      "as.factor(as.character(k))", "as.numeric(as.character(factor(k)))", "as.factor(z > 1)", "as.numeric(lg) + as.integer(lh)",
      "x + (as.numeric(f) | g)", "as.double(k) + c(x)"
    ),
    as_is = c("I(f)", "I(h) + x", "I(lg)", "I(o)", "I(f):x", "I(f == 'hi'):I(x)", "x + I(f) + (1 | g)"),
    summaries = c(
      "I(x - mean(x))", "I(x/sd(x))", "I((x - min(x))/(max(x) - min(x)))", "I(z - median(z)) + I(z > median(z))",
      "I(x/sum(z))", "I(z/var(z))", "ave(x, f)", "ave(x, f, lg) + z", "I(z - ave(z, g, FUN = median))", "ave(k, f, FUN = max)",
      "I(x - mean(x)) + (1 | g)", "I(x - range(x)[2])", "I(x > quantile(x, 0.25))", "I(x/length(x))", "I(year - mean(year))"
    ),
    running = c(
      "cumsum(x)", "cummax(z) + cummin(x)", "cumsum(lg)", "rank(x)", "rank(z) + rank(k)", "rev(x)", "pmin(x, z)",
      "pmax(x, 0) + pmin(z, 1)", "cumsum(k) + (1 | g)", "seq_along(x)", "pmax(x, z, k)"
    ),
    functions = c(
      "trunc(x) + ceiling(z)", "atan(x) + tanh(z)", "plogis(x) + qlogis(p)", "pnorm(x) + dnorm(z)", "log(z) + log(z, 2)",
      "log(z, base = 10) + log1p(z)", "log(base = 3, z)", "sqrt(z):f", "exp(x) + expm1(z)", "sin(2*pi*year/13) + cos(2 * pi * year/13)",
      "sign(x) + abs(x)", "round(x, 1) + round(z)", "round(p, 3)", "signif(z, 2)", "round(year, -1)", "asin(p) + acos(p)",
      "sinh(x) + cosh(x)", "gamma(z + 1) + lgamma(z)", "log10(z) + log2(z)", "base::log(z) + stats::plogis(x)", "factorial(k)",
      "tan(x) + tanh(z) + (1 | g)", "atan2(x, z)", "base::sqrt(z):x", "qnorm(p)", "round(x/3, 2) + round(-z, 2)"
    ),
    constants = c("I(pi*x)", "scale(x, scale = F)", "poly(x, 2, raw = T)", "I(x*T)", "sin(pi*z) + (1 | g)", "I(x > -Inf):z"),
    missing = c("is.na(lg)", "ifelse(is.na(x), 0, x) + is.na(x)", "x + lg", "f*is.na(x)", "ifelse(is.na(h), 'none', h)",
      "I(!is.na(x) & lg)", "log(z) + f", "lg:x + is.finite(z)", "scale(x) + f + (1 | g)", "z - x", "z*f - f", "ave(z, f)", "ave(x, s, h)", "I(nchar(h) > 3)", "rank(x)", "paste(f, lg)", "x:I(h == 'hi')",
      "cut(x, 3)", "interaction(f, lg)", "factor(x > 0, labels = c('a', 'b'))", "xor(lg, x > 0)", "scale(x):f", "ns(x, 3)",
      "bs(x, df = 4) + f", "poly(x, 2, raw = TRUE)", "pmin(x, z, na.rm = TRUE)", "I(x - mean(x, na.rm = TRUE))", "cumsum(ifelse(is.na(x), 0, x))"),
    choices = c(
      "ifelse(x > 0, 'pos', 'neg')", "ifelse(f == 'hi', x, z)", "ifelse(lg, 1, 0):z", "ifelse(k > 2, k, 0L) + x",
      "ifelse(lg, f, o)", "ifelse(lg, 'a', h) + (1 | g)", "I(f %in% c('hi', 'lo'))", "I(h %in% c('apple', 'Banana')):x",
      "I(k %in% 2:4)", "I(match(f, c('mid', 'hi'), 0))", "I(x*(f %in% 'hi'))"
    ),
    factors = c(
      "factor(f, levels = c('hi', 'lo', 'mid'))", "factor(k, levels = 0:6)", "factor(f, labels = c('A', 'B', 'C'))",
      "factor(lg)", "factor(lg, labels = c('no', 'yes')):x", "ordered(k)", "ordered(f, levels = c('mid', 'hi', 'lo'))",
      "factor(o, ordered = FALSE)", "relevel(f, 'hi')", "relevel(f, ref = 'mid'):x", "relevel(factor(k), ref = '4')",
      "relevel(factor(h), 'apple') + x", "relevel(f, ref = 3)", "droplevels(f)", "reorder(f, z)", "reorder(factor(h), -z)", "I(nlevels(f)*x)",
      "factor(k > 2) + factor(n)", "factor(z)", "factor(x > 0):f", "as.ordered(f)", "factor(f, c('lo', 'mid', 'hi'), c('l', 'm', 'm'))",
      "relevel(f, 'hi') + (1 | g)", "factor(year) + (1 | g)", "x + (relevel(f, 'hi') | g)"
    ),
    intervals = c(
      "cut(x, 3)", "cut(x, c(-2, 0, 1, 3))", "cut(z, c(0, 1, 3), labels = c('low', 'high'))", "cut(k, c(0, 2, 6), include.lowest = TRUE)",
      "cut(k, c(0, 3, 7), right = FALSE)", "cut(x, 4, labels = FALSE)", "cut(x, seq(-1, 2, by = 0.75))", "cut(z, seq(0, 3, length.out = 4))", "cut(year, 3, dig.lab = 4)", "cut(z, quantile(z), include.lowest = TRUE)",
      "cut(x, 3, ordered_result = TRUE)", "cut(year, c(1980, 1995, 2010))", "cut(z, 5):lg", "cut(x, c(-Inf, 0, Inf)) + (1 | g)",
      "findInterval(x, c(-0.5, 0.5))", "cut(I(z/1000), 3)"
    ),
    interactions = c(
      "interaction(f, lg)", "interaction(f, h)", "interaction(f, k, sep = '_')", "interaction(f, o, drop = TRUE)",
      "interaction(f, lg, lex.order = TRUE)", "interaction(lg, lh):x", "interaction(f, lg) + (1 | g)"
    ),
    text = c(
      "h", "h:x", "paste(f, lg)", "paste0(f, '-', k > 3) + x", "toupper(h)", "substr(h, 1, 1)", "nchar(h)", "h + (1 | s)",
      "factor(h) + (1 | s)", "ordered(h)", "(h | g)", "paste(f, s, sep = '.') + x", "grepl('a', h)", "grepl('^b', h, ignore.case = TRUE)",
      "grepl('an|hi$', h):x", "startsWith(h, 'a') + endsWith(s, '2')", "grepl('S', s, fixed = TRUE)", "tolower(h) + num"
    ),
    dates = c("dt", "I(dt - min(dt))", "as.numeric(dt)", "factor(dt)", "tm", "factor(tm)", "weekdays(dt)", "x + (1 | dt)",
      "dt + (1 | g)", "x + (1 | tm)", "(dt > as.Date('2020-02-24')) + x", "format(dt, '%d') + x", "I(tm - min(tm)) + (1 | g)"),
    polynomials = c(
      "poly(x, 2)", "poly(x, degree = 3)", "poly(z, 1)", "poly(x, 2, raw = TRUE)", "poly(x, z)", "poly(x, z, degree = 2)",
      "poly(x, z, k, degree = 2)", "poly(x, z, degree = 2, raw = TRUE)", "stats::poly(x, 2)", "poly(x, 2):f", "poly(year, 3)",
      "poly(log(z), 2)", "poly(x, 2)*lg + (1 | g)", "x + (poly(x, 2) | g)", "poly(x, 5)", "poly(cbind(x, z), 2)"
    ),
    scaling = c(
      "scale(x)", "scale(x, scale = FALSE) + scale(z, center = FALSE)", "scale(x, center = 2, scale = 3)", "scale(x)*f",
      "I(scale(x)^2)", "scale(x, TRUE, FALSE):lg", "scale(cbind(x, z))", "scale(log(z)) + (1 | g)", "scale(year) + (1 | g)",
      "as.vector(scale(x))"
    ),
    columns = c("cbind(x, z)", "cbind(a = x, b = z^2)", "cbind(x, z^2):f", "cbind(x, x^2) + (1 | g)"),
    splines = c(
      "splines::bs(x)", "bs(x, df = 5)", "bs(x, knots = c(0, 0.5))", "bs(z, degree = 2)", "bs(x, df = 4, intercept = TRUE) - 1",
      "bs(x, degree = 1, knots = 0.25)", "ns(x, 3)", "ns(x, df = 2) + ns(z, df = 4)", "ns(x, knots = c(-0.25, 0.5, 1))",
      "ns(x, df = 3, intercept = TRUE) - 1", "ns(x, 1)", "ns(x, df = 2, Boundary.knots = c(-0.5, 1))", "bs(x, df = 5, Boundary.knots = c(-0.5, 1))",
      "ns(year, 3)*lg", "ns(x, 3) + (1 | g)", "bs(z, df = 4) + (1 | g)", "x + (ns(x, 2) | g)", "ns(log(z), 2):f"
    ),
    coding = c(
      "C(f, sum)", "C(f, contr.helmert) + x", "C(f, 'contr.sum'):x", "C(f, treatment, base = 2)", "C(f, contr.treatment(3, base = 2))",
      "C(o, treatment)", "C(f, sum, 1)", "C(f, SAS)", "C(factor(h), sum) + (1 | g)", "x + (C(f, sum) | g)"
    ),
    dummies = c("dummy(f)", "dummy(f, 'hi')", "dummy(h, c('hi', 'Lo'))", "x + (0 + dummy(f, 'lo') | g)", "x + (dummy(f, c('mid', 'hi')) || g)",
      "x + (0 + dummy(lg) | g)"),
    groups = c("1 | g", "x + 1 | g", "x + f + (1 | g:lg)", "(1 | `a b`/lg)", "(1 | g) + (1 | f:`a b`)", "(1 | lg)", "(1 | g) + (0 + z | g)", "x + (0 + k | k)",
      "(1 | f/lg/lh) + (0 + z | f)", "(1 | s) + (0 + x | s)")
  )
}

# All answers in one locale; in C only those that text can change.
formula_answers <- function(locale) {
  frames <- formula_frames()
  queries <- formula_queries()
  out <- list()
  for (topic in names(queries)) {
    for (text in queries[[topic]]) {
      if (locale != "en_US" && !grepl("\\bh\\b|\\bs\\b|\\.", text)) next
      formula <- if (grepl("~", text)) text else paste("y ~", text)
      frame <- if (topic == "missing") "gaps" else "plain"
      asked <- as.formula(formula)
      if (topic == "dot" && !grepl("|", formula, fixed = TRUE)) {
        asked <- formula(terms(asked, data = frames[[frame]])) # as lm() does
      }
      answer <- suppressWarnings(model_matrix_answer(asked, frames[[frame]]))
      fit <- NULL
      if (grepl("|", formula, fixed = TRUE) && length(lme4::findbars(as.formula(formula))) > 0L) {
        fit <- suppressWarnings(suppressMessages(lmer(as.formula(formula), frames[[frame]], control = tight())))
        fit <- list(coef = as.list(unname(fixef(fit))), criterion = REMLcrit(fit))
      }
      answer$y <- NULL
      out <- c(out, list(c(list(topic = topic, formula = formula, frame = frame, locale = locale, fit = fit), answer)))
    }
  }
  out
}

# Texts whose order depends on the locale: all printable characters of ASCII, words, accents.
words <- function() {
  c(
    strsplit(intToUtf8(33:126), "")[[1]], "apple", "Apple", "APPLE", "Banana", "banana", "a b", "ab", "a-b", "a_b", "a.b", "aB", "Ab",
    "a10", "a9", "10", "9", "-1", "1.5", "co-op", "coop", "Co-op", "resume", "r\u00e9sum\u00e9", "Resume", "r\u00e9sume", "resum\u00e9",
    "r\u00e9sum\u00e9s", "\u00c9t\u00e9", "ete", "\u00e9t\u00e9", "etf", "na\u00efve", "naive", "Zebra", "zebra", "\u00dcber", "uber",
    "uzi", "\u00e5ngstr\u00f6m", "angle", "\u00f1andu", "nandu", "nz", "x y", "x  y", "xy", "X1", "x1", "x 1", "group A", "groupB", "Group C",
    "\u00e7a", "ca", "cz", "stra\u00dfe", "strasse", "strasze"
  )
}

# lme4's default controls stop at seven digits.
tight <- function() {
  lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE,
    check.conv.singular = "ignore"
  )
}

as_columns <- function(X) lapply(seq_len(ncol(X)), function(j) as.list(unname(X[, j])))

# Five rows that the data of the fit do not have; one is beyond the range of x, z and year.
new_rows <- function(frame) {
  new <- frame[c(1, 6, 9, 14, 23), ]
  new$x <- new$x + c(0.125, -0.0625, 4, 0.25, 0)
  new$z <- new$z * c(1.25, 1, 2, 1, 0.0625)
  new$year <- new$year + 3L
  new
}

# The columns for new data: what predict() makes of functions that depend on the data.
formula_new_data <- function() {
  frame <- formula_frames()$plain
  new <- new_rows(frame)
  right <- c(
    "scale(x)", "I(scale(x)^2)", "log(scale(x) + 3)", "scale(cbind(x, z))", "scale(x, scale = FALSE)*f", "poly(x, 2)",
    "poly(x, z, degree = 2)", "poly(x, 2, raw = TRUE)", "stats::poly(x, 2)", "poly(year, 3)", "I(poly(x, 2)^2)",
    "bs(x, df = 5)", "bs(z, degree = 2)", "bs(x, knots = c(0, 0.5), intercept = TRUE) - 1", "ns(x, 3)", "ns(year, 3)",
    "ns(x, knots = c(-0.25, 0.5))", "splines::ns(x, 2)", "ns(z, 1)", "I(x - mean(x))", "ave(x, f)", "rank(x)", "cumsum(x)",
    "factor(f)", "relevel(f, 'hi')", "C(f, sum)", "(x > 0) + I(f == 'hi')", "cut(x, c(-Inf, 0, Inf))", "h", "dt + tm",
    "x*lg", "factor(k > 2)", "interaction(f, lg)"
  )
  lapply(right, function(text) {
    fit <- lm(as.formula(paste("y ~", text)), frame)
    t <- delete.response(terms(fit))
    made <- suppressWarnings(model.frame(t, new, xlev = fit$xlevels))
    X <- model.matrix(t, made, contrasts.arg = fit$contrasts)
    list(formula = paste("y ~", text), X = as_columns(X[, !is.na(coef(fit)), drop = FALSE]))
  })
}

formula_predictions <- function() {
  frame <- formula_frames()$plain
  formulas <- c(
    "y ~ poly(x, 2) + (1 | g)", "y ~ x + (scale(x) | g)", "y ~ ns(x, 2)*lg + (1 | g)", "y ~ I(x - mean(x)) + (1 | g)",
    "y ~ scale(x) + (0 + poly(z, 1) | g)", "y ~ h + (1 | s)", "y ~ x + (1 | dt)", "y ~ x + offset(2*z) + (0 + lg | g)"
  )
  lapply(formulas, function(text) {
    fit <- suppressMessages(lmer(as.formula(text), frame, control = tight()))
    list(formula = text, predicted = as.list(unname(suppressWarnings(predict(fit, new_rows(frame))))))
  })
}

# Arguments: rows by an expression, contrasts that are matrices, and residuals with gaps.
formula_arguments <- function() {
  frames <- formula_frames()
  coefs <- function(fit) {
    b <- if (inherits(fit, "lm")) coef(fit) else fixef(fit)
    list(names = as.list(names(b)), coef = as.list(unname(b)))
  }
  subset_of <- function(formula, text, frame = "plain") {
    call <- substitute(f(as.formula(formula), d, subset = s), list(s = str2lang(text), f = as.name("lm"), d = frames[[frame]]))
    if (grepl("|", formula, fixed = TRUE)) {
      call[[1]] <- as.name("lmer")
      call$control <- tight()
    }
    fit <- suppressMessages(eval(call))
    c(list(formula = formula, frame = frame, subset = text, nobs = nobs(fit)), coefs(fit))
  }
  quarter <- matrix(c(-1, 0, 1, 0.5, -1, 0.5), 3)
  named <- matrix(c(-1, 0, 1), 3, dimnames = list(NULL, "slope"))
  list(
    subset = list(
      subset_of("y ~ x", "x > 0"), subset_of("y ~ x + (1 | g)", "x > 0 & h == 'hi' | k > 2"),
      subset_of("y ~ scale(x)*f + (1 | g)", "f != 'hi'"), subset_of("y ~ poly(x, 2) + z", "!lg"),
      subset_of("y ~ x + f", "lg", "gaps"), subset_of("y ~ f + (1 | s)", "s %in% c('s 1', 'S2')")
    ),
    contrasts = list(
      c(list(formula = "y ~ f*x", matrix = as_columns(quarter)), coefs(lm(y ~ f * x, frames$plain, contrasts = list(f = quarter)))),
      c(
        list(formula = "y ~ f + (1 | g)", matrix = as_columns(named), column = "slope"),
        coefs(lmer(y ~ f + (1 | g), frames$plain, contrasts = list(f = named), control = tight()))
      ),
      c(list(formula = "y ~ lg + f", matrix = as_columns(quarter)), coefs(lm(y ~ lg + f, frames$plain, contrasts = list(f = quarter))))
    ),
    exclude = local({
      fit <- lmer(y ~ x + f + (1 | g), frames$gaps, na.action = na.exclude, control = tight())
      list(residuals = as.list(unname(residuals(fit))), fitted = as.list(unname(fitted(fit))))
    })
  )
}

if (sys.nframe() == 0L) {
  here <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  source(file.path(dirname(here), "model_matrices.R"))
  options(contrasts = c("contr.treatment", "contr.poly"))
  suppressPackageStartupMessages({
    library(lme4)
    library(splines)
  })
  # R takes the order of text from ICU unless the locale is C.
  answers <- character()
  for (locale in c("C", "en_US")) {
    invisible(Sys.setlocale("LC_COLLATE", "C"))
    if (locale == "en_US") {
      invisible(Sys.setlocale("LC_COLLATE", "C.UTF-8"))
      icuSetCollate(locale = "en_US")
      stopifnot(identical(sort(c("Banana", "apple")), c("apple", "Banana")))
    }
    answers <- c(answers, vapply(formula_answers(locale), to_json, ""))
  }
  others <- list(
    sorted = as.list(sort(words())), new_data = formula_new_data(), predictions = formula_predictions(),
    arguments = formula_arguments()
  )
  parts <- vapply(others, to_json, "")
  # JSON has no NA.
  parts <- gsub("\\bNA\\b", "null", parts)
  cat(sprintf('{"matrices": [\n%s\n],\n%s}\n', paste(answers, collapse = ",\n"), paste0('"', names(parts), '": ', parts, collapse = ",\n")))
}
