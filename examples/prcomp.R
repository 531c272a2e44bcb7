# Principal components of the arrests in R's `USArrests`.
arrests <- function() as.matrix(USArrests)

components <- function() prcomp(USArrests)
