# R's answers for the atlas: the value of each call, as a table of named numbers. A plain function of the
# data and of R code as text; by hand, `Rscript atlas.R` prints an example.

# `frames` are data frames by name. A pair has the code `value`, perhaps also `setting`, and for each number
# that is compared `take.NAME`, an expression in which `it` is the result of the code.
atlas_answer <- function(frames, packages, pairs) {
  for (package in packages) suppressPackageStartupMessages(library(package, character.only = TRUE))
  tables <- list()
  notes <- list()
  for (name in names(pairs)) {
    pair <- pairs[[name]]
    takes <- pair[startsWith(names(pair), "take.")]
    names(takes) <- sub("^take\\.", "", names(takes))
    for (kind in intersect(c("value", "setting"), names(pair))) {
      said <- character()
      tables[[paste0(name, ".", kind)]] <- withCallingHandlers(
        tryCatch(
          atlas_value(pair[[kind]], takes, frames),
          error = function(e) stop(sprintf("%s (%s): %s", name, kind, conditionMessage(e)), call. = FALSE)
        ),
        warning = function(w) {
          said <<- c(said, conditionMessage(w))
          invokeRestart("muffleWarning")
        }
      )
      if (length(said)) notes[[paste0(name, ".", kind)]] <- paste(unique(said), collapse = "; ")
    }
  }
  list(tables = tables, notes = notes)
}

atlas_value <- function(code, takes, frames) {
  where <- list2env(frames, parent = globalenv())
  for (expression in parse(text = code)) where$it <- eval(expression, where)
  values <- if (length(takes)) lapply(takes, function(take) eval(parse(text = take), where)) else list(value = where$it)
  values <- lapply(values, function(value) as.numeric(unlist(value)))
  rows <- Map(function(name, value) if (length(value) == 1L) name else paste0(name, ".", seq_along(value)), names(values), values)
  data.frame(value = unlist(values, use.names = FALSE), row.names = unlist(rows, use.names = FALSE))
}

if (sys.nframe() == 0L) {
  print(atlas_answer(list(cars = mtcars), character(), list(sd = list(value = "sd(cars$mpg)")))$tables)
}
