# Each function returns the test as R gives it.
two_samples <- function(x, y) wilcox.test(x, y, exact = FALSE)

correlation <- function(x, y, method) cor.test(x, y, method = method, exact = FALSE)

table_2x2 <- function(counts) fisher.test(counts)
