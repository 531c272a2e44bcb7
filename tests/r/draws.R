# R's draws, one row a call: what they begin and end with, the md5 sum of their bits, and the runif(1)
# that follows, which tells how much of the stream they took.
#
# By hand, from the root: Rscript --vanilla tests/r/draws.R tests/data/draws.csv
# answers the calls of the file anew: its columns seed, sample_kind and call are read, n = 10000,
# and the others are written.

answer <- function(seed, sample_kind, call, n) {
  suppressWarnings(set.seed(seed, "Mersenne-Twister", "Inversion", sample_kind))
  x <- as.double(suppressWarnings(eval(str2lang(call), list(n = n), globalenv())))
  x[is.na(x)] <- NaN
  following <- runif(1)
  file <- tempfile()
  on.exit(unlink(file))
  writeBin(replace(x, is.nan(x), -9), file, endian = "little")
  list(first = x[1], last = x[length(x)], md5 = unname(tools::md5sum(file)), following = following)
}

answers <- function(seed, sample_kind, call, n) {
  rows <- Map(answer, seed, sample_kind, call, n)
  data.frame(do.call(rbind.data.frame, rows), row.names = NULL)
}

if (sys.nframe() == 0L) {
  file <- commandArgs(TRUE)
  calls <- read.csv(file)[c("seed", "sample_kind", "call")]
  found <- answers(calls$seed, calls$sample_kind, calls$call, n = 10000)
  for (column in c("first", "last", "following")) found[[column]] <- sprintf("%.17g", found[[column]])
  write.csv(cbind(calls, found), file, row.names = FALSE)
}
