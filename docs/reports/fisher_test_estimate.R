# R: the odds ratio of fisher.test() has four or five digits, because uniroot() has its default tolerance.
tea <- matrix(c(12, 7, 6, 7), 2)
estimate <- unname(fisher.test(tea)$estimate)

# The conditional maximum likelihood estimate makes the mean of the table's first cell what it is.
cells <- 5:18
logs <- dhyper(cells, 19, 13, 18, log = TRUE)
excess <- function(log_odds) {
  weights <- exp(logs + log_odds * cells - max(logs + log_odds * cells))
  sum(cells * weights) / sum(weights) - tea[1, 1]
}
exact <- exp(uniroot(excess, c(-5, 5), tol = 1e-14)$root)
cat(sprintf("fisher.test() %.8f\nexact         %.8f\n", estimate, exact))
