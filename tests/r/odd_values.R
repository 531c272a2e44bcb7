# Values that are seldom seen, for tests/r/test_values.py.

echo <- function(x) x
names_of <- function(x) as.character(x)

strange <- function(encoding) {
  x <- rawToChar(as.raw(0xe9))
  Encoding(x) <- encoding
  x
}

odd <- function(name) {
  frame <- data.frame(a = 1:2)
  switch(name,
    factor_with_na = addNA(factor(c("a", NA))),
    frame_factor_with_na = data.frame(f = addNA(factor(c("a", NA)))),
    factor_beyond = structure(c(1L, 5L), levels = c("a", "b"), class = "factor"),
    date_infinite = structure(Inf, class = "Date"),
    date_of_text = structure("x", class = "Date"),
    date_of_integers = structure(c(18262L, NA), class = "Date"),
    list_matrix = matrix(list(1, 2, 3, 4), 2),
    uneven_frame = structure(list(a = 1:2, b = 1:3), class = "data.frame", row.names = 1:2),
    null_column = structure(list(a = NULL), class = "data.frame", row.names = 1:2),
    array_column = { frame$m <- array(1:8, c(2, 2, 2)); frame },
    frame_without_names = unname(data.frame(a = 1)),
    latin1 = strange("latin1"), bytes = strange("bytes"), invalid = strange("unknown"),
    invalid_name = setNames(list(1), strange("unknown")),
    missing_name = setNames(list(1), NA),
    half_named = list(a = 1, 2),
    no_strings = character(), null = NULL,
    environment = new.env(), closure = echo, symbol = as.name("a"),
    expression = expression(a), formula = y ~ x, connection = stdin(),
    strange_time = structure("x", class = c("POSIXct", "POSIXt")))
}

say <- function(how) {
  condition <- simpleCondition(switch(how, several = c("a", "b"), nothing = character(), ""))
  class(condition) <- c("warning", "condition")
  if (how == "bytes") message(strange("bytes")) else warning(condition)
  1
}
