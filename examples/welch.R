# Welch's t test. R draws the two samples itself, after the set.seed() that the call asks for.
welch <- function(n) {
  x <- rnorm(n[1L], mean = 10, sd = 1)
  y <- rnorm(n[2L], mean = 11, sd = 3)
  test <- t.test(x, y, conf.level = 0.95)
  list(
    data = list(x = x, y = y),
    glance = c(test$statistic, test$parameter, p_value = test$p.value, std_error = test$stderr),
    confint = c(conf_low = test$conf.int[1L], conf_high = test$conf.int[2L])
  )
}
