# R functions as a user writes them: each returns what R's function gives, as it is.

wilcox <- function(x, y) wilcox.test(x, y, exact = FALSE)
quantiles <- function(x) quantile(x)
variance <- function(y, g) aov(y ~ factor(g))
tukey <- function(y, g) TukeyHSD(aov(y ~ factor(g)))
correlation <- function(x, y) cor.test(x, y)
fisher <- function(x) fisher.test(x)
arma <- function(y) arima(y, order = c(1, 0, 0))
forecast <- function(y) predict(arima(y, order = c(1, 0, 0)), n.ahead = 3)
components <- function(x) prcomp(x, scale. = TRUE)
clusters <- function(x) hclust(dist(x))
cox <- function(d) survival::coxph(survival::Surv(time, event) ~ x, d)
counts <- function(d) MASS::glm.nb(y ~ x, d)
smooth <- function(d) mgcv::gam(y ~ s(x), data = d)
local_fit <- function(d) loess(y ~ x, d)
minimum <- function(start) optim(start, function(p) sum((p - c(1, 2))^2), method = "BFGS")
curve_fit <- function(d) nls(y ~ a * exp(-b * x), d, start = list(a = 2, b = 0.5))
regression <- function(d) summary(lm(y ~ x, d))
draw <- function(n) sample(n)
student <- function(x, y) t.test(x, y)

# Others.
kaplan_meier <- function(d) survival::survfit(survival::Surv(time, event) ~ 1, d)
weibull <- function(d) survival::survreg(survival::Surv(time, event) ~ x, d)
linear <- function(d) lm(y ~ x, d)
logistic <- function(d) glm(z ~ x, binomial, d)
mixed <- function() lme4::lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
variances <- function() lme4::VarCorr(lme4::lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
mixed_lme <- function() nlme::lme(Reaction ~ Days, lme4::sleepstudy, ~ 1 | Subject)
robust <- function(d) MASS::rlm(y ~ x, d)
fit_polr <- function() MASS::polr(Sat ~ Infl, MASS::housing, weights = Freq, Hess = TRUE)
strata <- function() aov(yield ~ N * P * K + Error(block), npk)
k_means <- function(x) { set.seed(1); kmeans(x, 2) }
by_broom <- function(d) quantreg::rq(y ~ x, data = d)
aliased <- function(d) lm(y ~ x + I(2 * x), d)
autocorrelation <- function(y) acf(y, plot = FALSE)
emm <- function() emmeans::emmeans(lm(yield ~ N, npk), "N")

# What the package broom gives: its tidy(), glance() and augment(), with the terms as names of rows.
of_broom <- function(name, arguments) {
  x <- do.call(name, arguments)
  named <- function(table) {
    table <- as.data.frame(table)
    if (is.null(table$term)) return(table)
    row.names(table) <- table$term
    table[setdiff(names(table), "term")]
  }
  glance <- as.data.frame(broom::glance(x))
  glance[] <- lapply(glance, as.vector)  # some are of the class logLik
  list(tidy = named(broom::tidy(x)), glance = glance)
}
