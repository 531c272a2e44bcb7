# Functions that ports are compared with, and some that do what none should, for test_plugin_live.py.

welch <- function(x, y) {
  t <- t.test(x, y)
  glance <- c(statistic = unname(t$statistic), p_value = t$p.value, df = unname(t$parameter))
  list(glance = glance, method = t$method)
}

# Everything that an answer may be.
everything <- function() {
  set.seed(1)
  frame <- data.frame(
    estimate = rnorm(3), n = 1:3, term = c("a", NA, "c"), ok = c(TRUE, NA, FALSE),
    level = factor(c("lo", "hi", NA), levels = c("lo", "hi")),
    day = as.Date(c("2024-02-29", NA, "1969-12-31")), row.names = c("first", "second", "third"))
  list(
    number = 0.1 + 0.2, integer = 7L, text = "é", logical = NA, day = as.Date("2024-02-29"),
    missing = NA_character_, special = c(1, NaN, NA, Inf, -Inf, -0),
    vector = c(`(Intercept)` = 1.5, x = 2), named = c(t = 1.5), draws = rnorm(10),
    matrix = matrix(1:6 / 3, 2, dimnames = list(c("a", "b"), c("p", "q", "r"))),
    bare = matrix(rnorm(4), 2), frame = frame, numbered = data.frame(a = 1:2),
    nested = list(a = list(b = TRUE)))
}

# What R sees of its arguments.
seen <- function(n, s, b, d, v, f) {
  list(
    types = c(n = typeof(n), s = typeof(s), b = typeof(b), d = class(d), v = typeof(v)),
    missing = sum(is.na(v)), columns = vapply(f, function(x) class(x)[1], ""),
    levels = levels(f$g), ordered = is.ordered(f$o), gone = vapply(f, function(x) sum(is.na(x)), 0L))
}

draws <- function(n) list(rnorm = rnorm(n), runif = runif(n), rexp = rexp(n), sample = sample(n))

# What leaks -------------------------------------------------------------------------------------

count <- 0
counted <- function() { count <<- count + 1; count }
leave_traces <- function() {
  assign("left_behind", TRUE, envir = globalenv())
  options(digits = 3, contrasts = c("contr.sum", "contr.poly"), rparity.trace = TRUE)
  Sys.setenv(RPARITY_TRACE = "1")
  library(splines)
  set.seed(99)
  setwd(tempdir())
  1
}
traces <- function() {
  c(global = exists("left_behind"), option = !is.null(getOption("rparity.trace")),
    digits = getOption("digits") != 7, contrasts = options("contrasts")$contrasts[1] != "contr.treatment",
    environment = Sys.getenv("RPARITY_TRACE") != "", package = "package:splines" %in% search(),
    stream = exists(".Random.seed", globalenv()), profile = exists("read_profile"))
}

# Crimes -----------------------------------------------------------------------------------------

leave <- function() quit(status = 0)
crash <- function() tools::pskill(Sys.getpid(), 11)
spin <- function() repeat NULL
shout <- function() { cat(strrep("x", 1e6)); message("loud"); warning("and clear"); 1 }
closure <- function() function(x) x
fit <- function() list(fit = lm(dist ~ speed, cars))
s4 <- function() { setClass("Thing", representation(x = "numeric")); new("Thing", x = 1) }
environment_ <- function() globalenv()
nothing <- function() invisible(NULL)
formula_ <- function() y ~ x
wichmann <- function() { RNGkind("Wichmann-Hill"); rnorm(1) }
fail <- function() stop("no good")
