# What lme4 and lm make of formulas: column names, matrices, level orders, rows that are kept.
# Plain functions; by hand, `Rscript --vanilla model_matrices.R` prints the JSON that the tests of
# harness/rparity/lmm/matrices/model_matrices.py keep under tests/data/model_matrices/, a file for each version of lme4.

# Small frames of whole numbers that Python rebuilds without a random stream.
model_matrix_frames <- function() {
  i <- 0:35
  plain <- data.frame(
    y = (3 * i^2 + i) %% 17, x = (7 * i) %% 11, z = ((5 * i) %% 13) / 4,
    a = factor(c("one", "two", "three")[1 + i %% 3], levels = c("one", "two", "three")),
    b = factor(c("u", "v")[1 + (i %/% 3) %% 2], levels = c("v", "u")),
    o = factor((i * i) %% 5, levels = c(4, 1, 0), ordered = TRUE),
    o5 = factor((2 * i) %% 5, ordered = TRUE),
    l = i %% 4 > 1,
    g = factor(i %% 6), k = (i * i) %% 7, text = c("zeta", "Alpha", "beta", "a10", "a9")[1 + i %% 5]
  )
  plain$batch <- factor(LETTERS[1 + i %/% 12], levels = c("C", "A", "B"))
  plain$cask <- factor(c("q", "p", "r")[1 + (i %/% 4) %% 3])
  plain[["my var"]] <- (2 * i) %% 7
  plain$size.x <- 10^(i %% 3)
  holes <- plain
  holes$x[c(3, 11)] <- NA
  holes$z[1] <- -1
  holes$a[holes$a == "three" & i > 5] <- NA
  holes$text[holes$text == "beta"] <- NA
  holes$g[holes$g == "4"] <- NA
  holes$y[20] <- NA
  list(plain = plain, holes = holes)
}

model_matrix_queries <- function() {
  query <- function(formula, frame = "plain", contrasts = NULL) {
    list(formula = formula, frame = frame, contrasts = contrasts)
  }
  s <- "contr.sum"
  # Nesting that lme4 reads since 1.1-36, when the package reformulas took over.
  nested <- if (packageVersion("lme4") >= "1.1.36") list(
    query("y ~ (1 | a/(b:l))"),
    query("y ~ (1 | a:l/b)"),
    query("y ~ (1 | (a:l)/b)"),
    query("y ~ (1 | (a/l)/b)"),
    query("y ~ (1 | l/(a/b))"),
    query("y ~ (1 | (l:a):b)")
  )
  c(nested, list(
    query("y ~ x + (1 | g)"),
    query("y ~ x + a"),
    query("y ~ a + (1 | g)", contrasts = list(a = s)),
    query("y ~ a * b * x", contrasts = list(a = "contr.helmert", b = s)),
    query("y ~ a + b", contrasts = list(a = "contr.poly", b = "contr.SAS")),
    query("y ~ o5 + l"),
    query("y ~ 0 + o5 + a"),
    query("y ~ x:a"),
    query("y ~ x + x:a - 1"),
    query("y ~ b + a:b"),
    query("y ~ a:b + b + l"),
    query("y ~ a:b + (1 | g)"),
    query("y ~ a:b:l", contrasts = list(a = s)),
    query("y ~ a + b + a:b:l"),
    query("y ~ a * l - a"),
    query("y ~ (a + x + b)^2 - a:x"),
    query("y ~ a / x + b / (x + z)"),
    query("y ~ I(x^2/2.50) + I( -x ) + log(z+1) + log(x + 1, base=2) + exp(-z)"),
    query("y ~ poly(x,2) + poly(z, 1) + poly(x, 3, raw = TRUE)"),
    query("log(y + 1) ~ scale(x) + scale(z, scale = FALSE) + sqrt(z):b"),
    query("y ~ `my var` * size.x + I(`my var`**2)"),
    query("y ~ factor(k) + text + factor(size.x)"),
    query("y ~ I(x > 5) + I(a == 'one'):z"),
    query("y ~ x + I(2 * x) + z + I(x - z) + a"),
    query("y ~ x + offset(2 * z) + offset(log(x + 1)) + (1 | g)"),
    query("y ~ 0 + (1 | g)"),
    query("y ~ x + (x | g)"),
    query("y ~ x + (x || g) + (1 | cask)"),
    query("y ~ x + a + (a | b) + (0 + l | g)", contrasts = list(a = s)),
    query("y ~ (1 | batch / cask)"),
    query("y ~ x + (x || batch/cask) + (1 | b)"),
    query("y ~ (1 | batch/cask/b)"),
    query("y ~ (1 | a:b) + (1 | b:cask) + (0 + x | g)"),
    query("y ~ (1 | a) + (1 | g) + (1 | cask) + (1 | b) + (1 | batch)"),
    query("y ~ (0 + a | l) + (1 | k) + (1 | size.x)"),
    query("y ~ ((1 | text)) + (z + (x:b | g))"),
    query("y ~ (x * a || b)"),
    query("y ~ (1 | a / b:l)"),
    query("y ~ x + a + (1 | g)", "holes"),
    query("y ~ log(z + 0.5) + text + (1 | a:g)", "holes"),
    query("y ~ scale(x) + l + (o | text)", "holes")
  ))
}

# One query: X as lme4 keeps it (lm drops the same columns), and each random term's covariates.
model_matrix_answer <- function(formula, frame, contrasts = NULL) {
  formula <- as.formula(formula)
  if (length(lme4::findbars(formula)) > 0L) {
    made <- suppressMessages(lme4::lFormula(formula, frame, contrasts = contrasts))
    mf <- made$fr
    X <- made$X
    dropped <- names(attr(X, "col.dropped"))
    re <- made$reTrms
    assign <- attr(re$flist, "assign")
    random <- lapply(seq_along(re$cnms), function(t) {
      f <- re$flist[[assign[t]]]
      k <- length(re$cnms[[t]])
      Zt <- as.matrix(re$Ztlist[[t]])
      at <- function(i) Zt[(as.integer(f)[i] - 1L) * k + seq_len(k), i]
      Z <- matrix(vapply(seq_along(f), at, numeric(k)), nrow = k)
      list(
        group = names(re$cnms)[t], names = as.list(re$cnms[[t]]), levels = as.list(levels(f)),
        codes = as.list(as.integer(f) - 1L), Z = lapply(seq_len(k), function(j) as.list(Z[j, ]))
      )
    })
  } else {
    mf <- suppressWarnings(model.frame(formula, frame, drop.unused.levels = TRUE))
    X <- model.matrix(formula, mf, contrasts)
    qx <- qr(X, tol = 1e-7)
    keep <- qx$pivot[seq_len(qx$rank)]
    dropped <- colnames(X)[-keep]
    X <- X[, keep, drop = FALSE]
    random <- list()
  }
  offset <- model.offset(mf)
  list(
    y = as.list(unname(model.response(mf))), names = as.list(colnames(X)),
    X = lapply(seq_len(ncol(X)), function(j) as.list(unname(X[, j]))), dropped = as.list(dropped),
    offset = as.list(if (is.null(offset)) numeric(nrow(mf)) else offset),
    rows = as.list(as.integer(rownames(mf)) - 1L), random = random
  )
}

model_matrices <- function() {
  frames <- model_matrix_frames()
  lapply(model_matrix_queries(), function(q) {
    c(q, model_matrix_answer(q$formula, frames[[q$frame]], q$contrasts))
  })
}

# JSON with all 17 digits; base R has no writer of it.
to_json <- function(x) {
  if (is.list(x)) {
    parts <- vapply(x, to_json, "")
    if (is.null(names(x))) {
      return(sprintf("[%s]", paste(parts, collapse = ", ")))
    }
    named <- paste(vapply(names(x), to_json, ""), parts, sep = ": ")
    return(sprintf("{%s}", paste(named, collapse = ", ")))
  }
  if (is.null(x)) {
    return("null")
  }
  if (is.character(x)) encodeString(x, quote = '"') else sprintf("%.17g", x)
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"))
  suppressPackageStartupMessages(library(lme4))
  answers <- vapply(model_matrices(), to_json, "")
  cat(sprintf("[\n%s\n]\n", paste(answers, collapse = ",\n")))
}
