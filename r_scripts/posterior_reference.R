# The posterior of small mixed models, by R: lme4's deviance function at each theta, Gauss-Legendre
# quadrature, and the same priors as harness/rparity/lmm/bayes/priors.py.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/posterior_reference.R > tests/data/posterior_reference.json`.
# The data sets are those of r_scripts/lmm_reference.R and of r_scripts/document.R.

# Nodes and weights of Gauss and Legendre's rule on (low, high), by Golub and Welsch.
gauss_legendre <- function(n, low = 0, high = 1) {
  i <- seq_len(n - 1)
  beta <- i / sqrt(4 * i^2 - 1)
  J <- matrix(0, n, n)
  J[cbind(i, i + 1)] <- J[cbind(i + 1, i)] <- beta
  e <- eigen(J, symmetric = TRUE)
  list(x = low + (high - low) * (e$values + 1) / 2, w = (high - low) * e$vectors[1, ]^2)
}

# Coordinates in which the prior is stated: standard deviations over sigma, s, and at most one
# correlation r, with the term that it belongs to first.
theta_of <- function(s, r) if (is.null(r)) s else c(s[1], r * s[2], s[2] * sqrt(1 - r^2))

# Log of |V|^(-1/2) |A|^(-1/2), s, beta and the diagonal of A^-1 at theta.
restricted <- function(devfun, theta) {
  devfun(theta)
  pp <- environment(devfun)$pp
  resp <- environment(devfun)$resp
  # What lme4 profiles out of the REML criterion: log|V| = ldL2, log|A| = ldRX2.
  list(log = -(pp$ldL2() + pp$ldRX2()) / 2, s = resp$wrss() + pp$sqrL(1), beta = pp$beta(1),
       scale = sqrt(diag(chol2inv(pp$RX()))))
}

# Root of the determinant of the expected information of the restricted likelihood, in log sigma
# and the s of scalar terms, from n x n matrices.
root_information <- function(X, Z, s) {
  V <- diag(nrow(X))
  G <- list()
  for (t in seq_along(Z)) {
    G[[t]] <- 2 * s[t] * tcrossprod(Z[[t]])  # dV / ds
    V <- V + s[t]^2 * tcrossprod(Z[[t]])
  }
  W <- solve(V)
  P <- W - W %*% X %*% solve(crossprod(X, W %*% X), crossprod(X, W))
  PG <- lapply(c(G, list(2 * V)), function(g) P %*% g)
  I <- outer(seq_along(PG), seq_along(PG), Vectorize(function(i, j) sum(PG[[i]] * t(PG[[j]])) / 2))
  sqrt(det(I))
}

posterior_answer <- function(q, frame) {
  formula <- as.formula(q$formula, env = globalenv())
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))
  fit <- lmer(formula, data = frame, control = control)
  devfun <- lmer(formula, data = frame, control = control, devFunOnly = TRUE)
  X <- getME(fit, "X")
  Z <- lapply(getME(fit, "Ztlist"), function(z) t(as.matrix(z)))
  rms <- vapply(Z, function(z) sqrt(sum(z^2) / nrow(z)), 0)
  correlated <- length(getME(fit, "theta")) > length(Z)
  k <- length(Z)
  uniform <- q$prior == "uniform"
  nu <- nrow(X) - ncol(X) - (if (uniform) k else 0)
  h <- switch(q$prior,
    uniform = function(s) 1,
    `half-cauchy` = function(s) prod(1 / (1 + (s * rms)^2)),
    jeffreys = function(s) root_information(X, Z, s))
  sds <- unlist(lapply(VarCorr(fit), attr, "stddev"))
  unit <- unname(pmax(sds / sigma(fit), 0.3 / rms))

  # All points of the product rule: s = unit * t / (1 - t), t and r Gauss-Legendre.
  points <- function(n, low = -1, high = 1) {
    g <- gauss_legendre(n)
    each <- rep(list(seq_len(n)), k)
    if (correlated) {
      c <- gauss_legendre(n %/% 2, low, high)
      each <- c(each, list(seq_along(c$x)))
    }
    at <- as.matrix(expand.grid(each))
    evaluate <- function(i) {
      t <- g$x[i[seq_len(k)]]
      s <- unit * t / (1 - t)
      r <- if (correlated) c$x[i[k + 1]]
      w <- prod(g$w[i[seq_len(k)]] * unit / (1 - t)^2) * (if (correlated) c$w[i[k + 1]] else 1)
      a <- restricted(devfun, theta_of(s, r))
      c(log = a$log - nu / 2 * log(a$s) + log(h(s)) + log(w), ss = a$s, s = s, r = r, b = a$beta, l = a$scale)
    }
    t(apply(at, 1, evaluate))
  }
  top <- NULL
  answer <- function(n) {
    found <- points(n)
    top <<- max(found[, "log"])
    w <- exp(found[, "log"] - top)
    total <- sum(w)
    ss <- found[, "ss"]
    p <- ncol(X)
    first <- 2 + k + correlated
    # Probabilities of at most x, given theta; standard deviations have none below zero.
    of_sd <- function(s, x) vapply(x, function(x) sum(w * pchisq(ss * s^2 / x^2, nu, lower.tail = FALSE)) / total, 0)
    of_beta <- function(j, x) {
      b <- found[, first + j]
      l <- found[, first + p + j] * sqrt(ss / nu)
      vapply(x, function(x) sum(w * pt((x - b) / l, nu)) / total, 0)
    }
    chi <- function(r) exp(lgamma((nu - r) / 2) - lgamma(nu / 2)) * 2^(-r / 2)
    moments_of_sd <- function(s) {
      m <- vapply(1:2, function(r) sum(w * s^r * ss^(r / 2)) / total * chi(r), 0)
      c(mean = m[1], sd = sqrt(m[2] - m[1]^2))
    }
    moments_of_beta <- function(j) {
      b <- found[, first + j]
      mean <- sum(w * b) / total
      c(mean = mean, sd = sqrt(sum(w * ((b - mean)^2 + found[, first + p + j]^2 * ss / (nu - 2))) / total))
    }
    entry <- function(x, p, m) list(x = x, p = p, mean = m[["mean"]], sd = m[["sd"]])
    out <- list()
    for (i in seq_len(k)) {
      s <- found[, 2 + i]
      x <- unit[i] * sigma(fit) * c(0.5, 1, 1.5, 3)
      out[[sprintf("sd%d", i)]] <- entry(x, of_sd(s, x), moments_of_sd(s))
    }
    x <- sigma(fit) * c(0.9, 1, 1.1, 1.25)
    out$sigma <- entry(x, of_sd(1, x), moments_of_sd(1))
    for (j in seq_len(p)) {
      x <- fixef(fit)[[j]] + c(-2.5, -1, 0.25, 2) * sqrt(vcov(fit)[j, j])
      out[[sprintf("beta%d", j)]] <- entry(x, of_beta(j, x), moments_of_beta(j))
    }
    if (correlated) {
      r <- found[, "r"]
      mean <- sum(w * r) / total
      x <- c(-0.3, 0.2, 0.6)
      below <- vapply(x, function(x) sum(exp(points(n, -1, x)[, "log"] - top)) / total, 0)
      out$cor <- entry(x, below, c(mean = mean, sd = sqrt(sum(w * (r - mean)^2) / total)))
    }
    out
  }
  q$answer <- answer(q$n)
  # What the rule's own error may be: the same with fewer points.
  fewer <- answer((q$n * 3) %/% 4)
  q$error <- max(mapply(function(a, b) max(abs(a$p - b$p)), q$answer, fewer))
  message(q$data, ": ", q$formula, ", ", q$prior, ", error ", signif(q$error, 2))
  q
}

posterior_queries <- function() {
  query <- function(data, formula, prior, n) list(data = data, formula = formula, prior = prior, n = n)
  all <- list()
  for (prior in c("uniform", "half-cauchy", "jeffreys")) {
    all <- c(all, list(
      query("document", "y ~ x + (1 | p)", prior, 160),
      query("Dyestuff", "Yield ~ 1 + (1 | Batch)", prior, 160),
      query("Dyestuff2", "Yield ~ 1 + (1 | Batch)", prior, 160),
      query("Pastes", "strength ~ 1 + (1 | batch/cask)", prior, if (prior == "jeffreys") 72 else 96)
    ))
    if (prior != "jeffreys") all <- c(all, list(
      query("sleepstudy", "Reaction ~ Days + (Days || Subject)", prior, 144),
      query("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", prior, 144)
    ))
  }
  c(all, list(query("sleepstudy", "Reaction ~ Days + (Days | Subject)", "uniform", 76)))
}

if (sys.nframe() == 0L) {
  suppressPackageStartupMessages(library(lme4))
  for (script in c("lmm_reference.R", "document.R")) source(file.path("r_scripts", script))
  frames <- lmm_frames()
  set.seed(1)
  frames$document <- document_data()
  answers <- lapply(posterior_queries(), function(q) posterior_answer(q, frames[[q$data]]))
  versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
  cat("{\"versions\":", json(versions), ",\n\"models\": [\n")
  cat(paste(vapply(answers, function(a) json(plain(a)), ""), collapse = ",\n"), "\n]}\n")
}
