# Tooth growth by supplement and dose, with their interaction, under the contrasts that are named.
tooth_growth <- function(contrasts) {
  data <- transform(ToothGrowth, dose = factor(dose))
  fit <- lm(len ~ supp * dose, data, contrasts = list(supp = contrasts, dose = contrasts))
  s <- summary(fit)
  list(
    data = data,
    coef = data.frame(
      estimate = s$coefficients[, 1L], std_error = s$coefficients[, 2L],
      p_value = s$coefficients[, 4L]
    ),
    anova = data.frame(
      df = anova(fit)$Df, sum_sq = anova(fit)$"Sum Sq", row.names = rownames(anova(fit))
    ),
    glance = c(sigma = s$sigma, r_squared = s$r.squared, aic = AIC(fit))
  )
}
