# One-way analysis of variance of the weights in R's `PlantGrowth`, and Tukey's comparisons.
plants <- function() PlantGrowth

anova_table <- function() aov(weight ~ group, PlantGrowth)

pairs <- function() TukeyHSD(aov(weight ~ group, PlantGrowth))
