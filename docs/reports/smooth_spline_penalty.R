# R: smooth.spline() penalises with 0.3330 where the integral of the squared second derivative has 1/3.
x <- (women$height - 58) / 14
y <- women$weight
lambda <- 1e-3
fitted <- smooth.spline(x, y, lambda = lambda)$y

# The second derivative of a cubic spline is linear between knots: from a to a + b, its square has the
# integral h (a^2 + a b + b^2 / 3).
knots <- c(rep(x[1], 4), x[2:14], rep(x[15], 4))
basis <- splines::splineDesign(knots, x)
second <- splines::splineDesign(knots, x, derivs = 2)
a <- second[-15, ]
b <- diff(second)
h <- diff(x)
for (third in c(1 / 3, 0.3330)) {
  penalty <- crossprod(a, h * a) + (crossprod(a, h * b) + crossprod(b, h * a)) / 2 + third * crossprod(b, h * b)
  exact <- drop(basis %*% solve(crossprod(basis) + lambda * penalty, crossprod(basis, y)))
  cat(sprintf("with %.4f: largest difference from smooth.spline() %.0e\n", third, max(abs(exact - fitted))))
}
