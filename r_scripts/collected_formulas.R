# Fits of formulas that people wrote, tests/data/collected_formulas.txt, to made-up data.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/collected_formulas.R > tests/data/collected_formulas.json`.

ROWS <- 240

# The variables to the right of `~`, in the order in which they are drawn: groups of 12, 8 or 5
# levels, and by turns factors and numbers; what a function takes is a number.
kinds_of <- function(formula) {
  groups <- unique(unlist(lapply(findbars(formula), function(bar) all.vars(bar[[3]]))))
  right <- formula[[3]]
  numeric <- all.vars(as.call(c(quote(list), Filter(function(v) is.call(v) && as.character(v[[1]]) %in% c("scale", "poly", "log10"),
    as.list(attr(terms(subbars(formula)), "variables"))[-(1:2)]))))
  kinds <- list()
  turn <- 0
  for (name in all.vars(right)) {
    if (name %in% groups) {
      kinds[[name]] <- list(kind = "group", levels = c(12, 8, 5)[1 + (match(name, groups) - 1) %% 3])
    } else if (name %in% numeric) {
      kinds[[name]] <- list(kind = "number", levels = 0)
    } else {
      turn <- turn + 1
      kinds[[name]] <- if (turn %% 2) list(kind = "factor", levels = 2 + turn %% 3 %/% 2) else list(kind = "number", levels = 0)
    }
  }
  kinds
}

# The data from one stream: each variable, the effects of each group's levels, and the noise.
made_up <- function(seed, response, link, kinds) {
  set.seed(seed)
  drawn <- lapply(kinds, function(k) if (k$kind == "number") rnorm(ROWS) else 1 + floor(runif(ROWS) * k$levels))
  y <- numeric(ROWS)
  for (name in names(kinds)) {
    y <- y + switch(kinds[[name]]$kind,
      number = 0.5 * drawn[[name]], factor = 0.75 * (drawn[[name]] - 1), group = rnorm(kinds[[name]]$levels)[drawn[[name]]]
    )
  }
  y <- y + rnorm(ROWS)
  frame <- lapply(names(kinds), function(name) {
    if (kinds[[name]]$kind == "number") return(if (link == "x") exp(drawn[[name]]) else drawn[[name]])
    sprintf("l%02d", drawn[[name]])
  })
  frame <- as.data.frame(setNames(frame, names(kinds)), optional = TRUE, stringsAsFactors = TRUE)
  frame[[response]] <- switch(link, log = , log2 = , log10 = exp(y / 4), x = exp(y / 4), sqrt = y^2, logit = plogis(y / 4), y)
  frame
}

logit <- qlogis

answer <- function(text, seed) {
  formula <- as.formula(text)
  left <- formula[[2]]
  link <- if (is.call(left)) as.character(left[[1]]) else ""
  if (grepl("log10(Trp)", text, fixed = TRUE)) link <- "x" # its covariate is positive, too
  kinds <- kinds_of(formula)
  response <- all.vars(left)
  frame <- made_up(seed, response, link, kinds)
  control <- lmerControl(
    optimizer = "bobyqa", calc.derivs = FALSE, check.conv.singular = "ignore", check.rankX = "silent.drop.cols",
    optCtrl = list(rhobeg = 0.2, rhoend = 2e-9, maxfun = 1e5)
  )
  # lme4 stops early beside a zero: it goes on from where it stopped, until nothing changes.
  fit <- suppressWarnings(lmer(formula, frame, control = control))
  for (again in 1:5) {
    more <- suppressWarnings(lmer(formula, frame, control = control, start = getME(fit, "theta")))
    if (REMLcrit(more) >= REMLcrit(fit) - 1e-10) break
    fit <- more
  }
  list(
    formula = text, seed = seed, response = response, link = link,
    variables = lapply(names(kinds), function(name) c(list(name = name), kinds[[name]])),
    names = as.list(names(fixef(fit))), coef = as.list(unname(fixef(fit))), criterion = REMLcrit(fit),
    std_error = as.list(unname(sqrt(diag(as.matrix(vcov(fit)))))), theta_names = as.list(names(getME(fit, "theta"))),
    theta = as.list(unname(getME(fit, "theta"))), sigma = sigma(fit)
  )
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"))
  suppressPackageStartupMessages(library(lme4))
  source("r_scripts/lmm_reference.R")
  formulas <- readLines("tests/data/collected_formulas.txt")
  answers <- vapply(seq_along(formulas), function(i) json(plain(answer(formulas[i], i))), "")
  cat("[", paste(answers, collapse = ",\n"), "]\n", sep = "\n")
}
