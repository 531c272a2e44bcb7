# Clusters of the first twenty states in R's `USArrests`.
arrests <- function() as.matrix(USArrests)[1:20, ]

clusters <- function(method) hclust(dist(USArrests[1:20, ]), method)
