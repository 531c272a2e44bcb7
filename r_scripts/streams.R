# R's random streams, reduced to a few exact numbers a seed.
#
# streams(seeds, n) returns list(tables = ...): one data frame for each kind of draw; a row is a seed,
# and every kind starts from its own set.seed(seed). The kinds: n draws of runif, rnorm, rexp, sample
# (n out of 1e6 with replacement) and permutation (sample.int(n)); n / 50 draws of rbinom, rpois,
# rgamma, rchisq, rt and rbeta, whose recycled parameters lead through all their algorithms; of
# sample_prob (by search, by aliases, without replacement) and sample_rounding (as before R 3.6).
# The checksums go over the bits of all draws, taken as doubles, each of them two unsigned 32-bit
# words w[1], w[2], ... in little-endian order, and are exact: every partial sum is below 2^53.
#
#   first, last        the first draw and the last
#   checksum           sum of w[i]
#   position_checksum  sum of (w[i] mod 65536) * (i mod 8191)
#   state_checksum     sum of w[i] * i over the words of .Random.seed after the draws

SEEDS <- c(0, 1, 42, -1, -2147483647, 2147483647, 123456789, 2022, 7, 65536)

# The low and the high half of every word: unlike a signed integer, a half has no NA.
halves <- function(x) {
  bytes <- writeBin(x, raw(), endian = "little")
  half <- readBin(bytes, "integer", n = length(bytes) / 2, size = 2, signed = FALSE,
                  endian = "little")
  list(low = half[c(TRUE, FALSE)], high = half[c(FALSE, TRUE)])
}

one_stream <- function(seed, draw, sample_kind) {
  suppressWarnings(set.seed(seed, sample.kind = sample_kind))  # R warns that Rounding is not uniform
  x <- as.double(draw())
  state <- halves(get(".Random.seed", envir = globalenv()))
  w <- halves(x)
  c(first = x[1],
    last = x[length(x)],
    checksum = sum(as.double(w$low)) + 65536 * sum(as.double(w$high)),
    position_checksum = sum(as.double(w$low) * (seq_along(w$low) %% 8191)),
    state_checksum = sum((state$low + 65536 * state$high) * seq_along(state$low)))
}

streams <- function(seeds = SEEDS, n = 1e6) {
  stopifnot(n >= 1, n <= 2^20)
  old <- RNGkind("Mersenne-Twister", "Inversion", "Rejection")
  on.exit(suppressWarnings(RNGkind(old[1], old[2], old[3])))
  few <- ceiling(n / 50)
  kinds <- list(
    runif = function() runif(n),
    rnorm = function() rnorm(n),
    rexp = function() rexp(n),
    sample = function() sample(1e6, n, replace = TRUE),
    permutation = function() sample.int(n),
    rbinom = function() rbinom(few, c(1e6, 1000, 100, 60, 10, 1), c(0.3, 0.02, 0.75, 0.99, 0.5)),
    rpois = function() rpois(few, c(1e6, 400, 25, 10, 9.9, 3, 0.1)),
    rgamma = function() rgamma(few, c(0.05, 0.7, 1, 2.5, 8, 40, 1e4), scale = c(0.3, 1, 7)),
    rchisq = function() rchisq(few, c(0.3, 1, 2, 7, 90)),
    rt = function() rt(few, c(1, 2.5, 30, Inf)),
    rbeta = function() rbeta(few, c(0.4, 1, 2.5, 20, 1000), c(0.2, 1, 3, 50)),
    sample_prob = function() c(sample(50, few, TRUE, 1:50), sample(1000, few, TRUE, 1:1000),
                               sample(300, prob = rep(1:3, 100))),
    sample_rounding = function() c(sample(1e6, few, TRUE), sample.int(few),
                                   sample(1000, few, TRUE, 1:1000))
  )
  tables <- Map(function(draw, name) {
    sample_kind <- if (name == "sample_rounding") "Rounding" else "Rejection"
    rows <- lapply(seeds, one_stream, draw, sample_kind)
    data.frame(do.call(rbind, rows), row.names = sprintf("%d", as.integer(seeds)))
  }, kinds, names(kinds))
  names(tables) <- paste0("draws.", names(kinds))
  list(tables = tables)
}

if (sys.nframe() == 0L) {
  print(streams(n = 1e5)$tables, digits = 16)
}
