# What R has of a value, as text that owes nothing to how values cross; and values that R draws.

shown <- function(x) {
  if (is.character(x)) {
    ifelse(is.na(x), "NA", vapply(x, function(s) paste(c("s", charToRaw(enc2utf8(s))), collapse = ""), ""))
  } else if (is.double(x)) {
    ifelse(is.na(x), ifelse(is.nan(x), "NaN", "NA"), sprintf("%a", as.vector(unclass(x))))
  } else ifelse(is.na(x), "NA", as.character(as.integer(x)))
}
hex_of <- function(x) if (is.null(x)) character() else shown(as.character(x))

# Leaves in order: how each is called, its type, its values, its names.
seen <- function(x, path = "") {
  if (is.list(x)) {
    labels <- if (is.null(names(x))) as.character(seq_along(x)) else hex_of(names(x))
    found <- lapply(seq_along(x), function(i) seen(x[[i]], paste0(path, "/", labels[i])))
    rows <- if (is.data.frame(x) && .row_names_info(x) > 0) hex_of(row.names(x))
    return(c(do.call(c, found), if (!is.null(rows)) c(paste0(path, "#rows"), rows)))
  }
  kind <- if (is.factor(x)) paste0(class(x)[1], ":", paste(hex_of(levels(x)), collapse = ","))
          else if (inherits(x, "Date")) "Date" else typeof(x)
  labels <- if (is.null(dim(x))) hex_of(names(x)) else unlist(lapply(dimnames(x), hex_of))
  if (inherits(x, "Date")) x <- as.double(unclass(x))
  if (is.factor(x)) x <- unclass(x)
  values <- if (length(x)) unname(shown(as.vector(x))) else character()
  c(paste0(path, "=", kind), paste(c("dim", dim(x)), collapse = " "), values, "names", unname(labels))
}

doubles <- function(n) {
  odd <- c(0, -0, Inf, -Inf, NaN, NA, 5e-324, -5e-324, 2^53 + 2, .Machine$double.xmax, 0.1, 1/3)
  bits <- readBin(as.raw(sample.int(256L, 8L * n, TRUE) - 1L), "double", n)
  ifelse(runif(n) < 0.4, sample(odd, n, TRUE), bits)
}
strings <- function(n) {
  odd <- c("", "NA", NA, " ", "\u00e9", "e\u0301", "\U1F600", "\ufeff", "\033[2J", "\n\r\t", "\u202e", "a,b\"c'", "\u65e5\u672c",
           "1e5", "TRUE", "NULL", "[bold]", "\\", "\ufffd", "\u00a0")
  long <- vapply(seq_len(n), function(i) intToUtf8(sample(c(1:55295, 57344:65535), sample(40L, 1L))), "")
  ifelse(runif(n) < 0.6, sample(odd, n, TRUE), long)
}
leaf <- function(kind, n) switch(kind,
  double = doubles(n), integer = sample(c(NA, 0L, -.Machine$integer.max, .Machine$integer.max, 7L), n, TRUE),
  logical = sample(c(TRUE, FALSE, NA), n, TRUE), character = strings(n),
  Date = structure(sample(c(NA, 0, -719162, 2932896, 18262), n, TRUE), class = "Date"),
  factor = factor(sample(c("b", "a", NA), n, TRUE), levels = c("b", "z", "a"), ordered = runif(1) < 0.5))
draw <- function(seed) {
  set.seed(seed)
  kinds <- c("double", "integer", "logical", "character", "Date", "factor")
  kind <- sample(kinds, 1L); n <- sample(c(0:3, 17L), 1L); x <- leaf(kind, n)
  shape <- sample(c("bare", "named", "matrix", "array", "frame", "list"), 1L)
  plain <- kind %in% c("double", "integer", "logical", "character")
  named <- function(m) make.unique(paste0(substr(strings(m), 1, 5), ".", recycle0 = TRUE))
  switch(shape,
    named = if (kind == "factor") x else stats::setNames(x, named(n)),
    matrix = if (plain) matrix(leaf(kind, 6L), 2L, dimnames = if (runif(1) < 0.5) list(named(2L), named(3L))) else x,
    array = if (plain) array(leaf(kind, 8L), c(2L, 2L, 2L)) else x,
    frame = {
      made <- data.frame(a = leaf("double", n), b = x, c = leaf("character", n))
      if (runif(1) < 0.5) row.names(made) <- named(n)
      made
    },
    list = stats::setNames(list(x, leaf("character", 2L), list(u = leaf("double", 1L))), make.unique(named(3L))),
    x)
}
drawn <- function(seed) { x <- draw(seed); list(value = x, seen = seen(x)) }
