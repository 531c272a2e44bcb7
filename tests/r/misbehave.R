# Functions that do what R scripts should and should not do, for tests/r/test_session.py.

echo <- function(x) x
typed <- function(x) list(type = typeof(x), class = class(x), missing = sum(is.na(x)), value = x)
bits <- function(x) list(hex = sprintf("%a", x), na = is.na(x) & !is.nan(x))

# Values -----------------------------------------------------------------------------------------

values <- function() {
  list(
    double = 0.1 + 0.2, integer = 7L, logical = TRUE, string = "é", nothing = NULL,
    na = NA_real_, na_string = NA_character_, na_integer = NA_integer_,
    vector = c(1, NaN, NA, Inf, -Inf, -0), integers = 1:3, integers_na = c(1L, NA),
    logicals = c(TRUE, FALSE), strings = c("a", NA), empty = numeric(), no_strings = character(),
    named = c(`(Intercept)` = 1.5, x = 2), named_one = c(x = 1),
    matrix = matrix(1:6 / 3, 2, dimnames = list(c("a", "b"), c("p", "q", "r"))),
    bare_matrix = matrix(c("a", "b"), 1), array = array(1:8, c(2, 2, 2)),
    table = tapply(c(1, 2, 3), c("u", "v", "u"), sum),
    factor = factor(c("b", "a", NA), levels = c("b", "a")), ordered = factor("lo", c("lo", "hi"), ordered = TRUE),
    date = as.Date("2024-02-29"), dates = as.Date(c("1969-12-31", NA)),
    frame = data.frame(x = c(1.5, NA), s = c("u", NA), row.names = c("first", "second")),
    numbered = data.frame(i = 1:2), no_rows = data.frame(x = numeric()),
    nested = list(a = list(b = 1)), bare_list = list(1, "a"), empty_list = list()
  )
}
in_latin1 <- function() iconv("é", "UTF-8", "latin1")
twice <- function() list(a = 1, a = 2)
draws <- function(n) rnorm(n)
pause_and_draw <- function(n) vapply(seq_len(n), function(i) { Sys.sleep(0.01); rnorm(1) }, 0)
call_of <- function(data) { paste(deparse(match.call()), collapse = "") }

# Talk -------------------------------------------------------------------------------------------

talk <- function() {
  message("one")
  warning("first warning, of a length that rpy2 would hand on in fragments: ", strrep("x", 3000))
  message("two")
  as.integer("not a number")
}
message_then_sleep <- function(seconds) { message("now"); Sys.sleep(seconds); message("later") }
print_much <- function(n) { cat(strrep("é", n)); n }
print_little <- function() { print(1:3); cat("to stderr\n", file = stderr()) }
ask <- function() readline("Well? ")
fail <- function() stop("no ", "good")
fail_deep <- function() lme4::lmer(y ~ 1 + (1 | g), data.frame(y = 1:3, g = 1))
recurse <- function() recurse()
use_package <- function() library(aPackageThatNobodyHas)

# Crimes -----------------------------------------------------------------------------------------

leave <- function(status) quit(status = status)
spin <- function() repeat NULL
sleep <- function(seconds) Sys.sleep(seconds)
crash <- function() tools::pskill(Sys.getpid(), 11)
spawn_and_crash <- function() { system("sleep 60", wait = FALSE); tools::pskill(Sys.getpid(), 9) }
poison <- function() {
  RNGkind("Wichmann-Hill", "Box-Muller", "Rounding")
  options(contrasts = c("contr.sum", "contr.helmert"), digits = 3, warn = 2, OutDec = ",")
  Sys.setlocale("LC_COLLATE", "C.UTF-8")
  setwd(tempdir())
  sink(tempfile())
  invisible(1)
}
settings <- function() {
  list(kinds = RNGkind(), contrasts = unname(options("contrasts")$contrasts),
       digits = getOption("digits"), warn = getOption("warn"), collate = Sys.getlocale("LC_COLLATE"),
       ctype = Sys.getlocale("LC_CTYPE"), folder = getwd(), printed = format(1.5),
       poisoned = exists("poisoned_by_profile"), args = commandArgs())
}

return_closure <- function() function(x) x
return_environment <- function() globalenv()
return_formula <- function() y ~ x
