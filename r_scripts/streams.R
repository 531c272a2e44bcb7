# R's random streams, reduced to a few exact numbers a seed.
#
# streams(seeds, n) returns list(tables = ...): one data frame for each of runif, rnorm, rexp, sample
# (n out of 1e6 with replacement) and permutation (sample.int(n)); a row is a seed, and every kind
# starts from its own set.seed(seed). The checksums go over the bits of all draws, taken as doubles, each of them two
# unsigned 32-bit words w[1], w[2], ... in little-endian order, and are exact: every partial sum
# is below 2^53.
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

one_stream <- function(seed, draw) {
  set.seed(seed)
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
  on.exit(RNGkind(old[1], old[2], old[3]))
  kinds <- list(
    runif = function() runif(n),
    rnorm = function() rnorm(n),
    rexp = function() rexp(n),
    sample = function() sample(1e6, n, replace = TRUE),
    permutation = function() sample.int(n)
  )
  tables <- lapply(kinds, function(draw) {
    rows <- lapply(seeds, one_stream, draw = draw)
    data.frame(do.call(rbind, rows), row.names = sprintf("%d", as.integer(seeds)))
  })
  names(tables) <- paste0("draws.", names(tables))
  list(tables = tables)
}

if (sys.nframe() == 0L) {
  print(streams(n = 1e5)$tables, digits = 16)
}
