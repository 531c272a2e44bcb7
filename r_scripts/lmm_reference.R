# What lme4 answers, at a tight optimizer, for the models that the tests of harness/rparity/lmm fit.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/lmm_reference.R > tests/data/lmm_reference.json`.

lmm_frames <- function() {
  d <- new.env()
  data(list = c("sleepstudy", "Penicillin", "Pastes", "cake", "Dyestuff", "Dyestuff2"),
       package = "lme4", envir = d)
  sleep <- d$sleepstudy
  i <- seq_len(nrow(sleep))
  holes <- transform(sleep, w = 0.5 + (i * 7) %% 5, known = ((i * i) %% 11) / 3)
  holes <- holes[(i * i) %% 7 != 2 & !(sleep$Subject %in% c("308", "330") & sleep$Days > 2), ]
  penicillin <- d$Penicillin
  machines <- as.data.frame(nlme::Machines)
  machines$Worker <- factor(as.character(machines$Worker))
  machines$Machine <- factor(as.character(machines$Machine))
  # Crossed and unbalanced, with correlated slopes: 12 levels of g, 9 of h, groups of 1 to 25.
  n <- 150
  RNGkind("Mersenne-Twister", "Inversion", "Rejection")
  set.seed(20)
  g <- pmin(12, 1 + rgeom(n, 0.18))
  h <- sample(9, n, replace = TRUE)
  x <- round(rnorm(n), 3)
  y <- 2 + x + 0.9 * rnorm(12)[g] + (0.6 * rnorm(12))[g] * x + 0.7 * rnorm(9)[h] + rnorm(n)
  list(
    sleepstudy = sleep, holes = holes, Penicillin = penicillin,
    sparse = penicillin[(seq_len(144) * 5) %% 7 > 2, ], Pastes = d$Pastes,
    cake = transform(d$cake, temp = NULL), Dyestuff = d$Dyestuff, Dyestuff2 = d$Dyestuff2,
    Machines = machines,
    crossed = data.frame(y = round(y, 4), x = x, g = factor(g), h = factor(h))
  )
}

lmm_queries <- function() {
  query <- function(data, formula, REML = TRUE, weights = NULL, more = character(0)) {
    list(data = data, formula = formula, REML = REML, weights = weights, more = more)
  }
  all <- c("profile", "boot", "text")
  list(
    query("sleepstudy", "Reaction ~ Days + (Days | Subject)", more = all),
    query("sleepstudy", "Reaction ~ Days + (Days | Subject)", FALSE, more = "text"),
    query("sleepstudy", "Reaction ~ Days + (Days || Subject)", more = all),
    query("sleepstudy", "Reaction ~ Days + (0 + Days | Subject)", more = "boot"),
    query("sleepstudy", "Reaction ~ Days + (1 | Subject)", more = all),
    query("holes", "Reaction ~ Days + offset(known) + (Days | Subject)", weights = "w", more = "boot"),
    query("holes", "Reaction ~ Days + offset(known) + (Days | Subject)", FALSE, weights = "w"),
    query("holes", "Reaction ~ Days + (1 | Subject)", weights = "w", more = "profile"),
    query("Machines", "score ~ Machine + (Machine | Worker)", more = c("boot", "text")),
    query("Machines", "score ~ Machine + (0 + Machine | Worker)"),
    query("Machines", "score ~ Machine + (1 | Worker/Machine)", more = "text"),
    query("Dyestuff", "Yield ~ 1 + (1 | Batch)", more = c("profile", "text")),
    query("Dyestuff", "Yield ~ 1 + (1 | Batch)", FALSE),
    query("Dyestuff2", "Yield ~ 1 + (1 | Batch)", more = c("profile", "text")),
    query("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", more = all),
    query("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", FALSE),
    query("sparse", "diameter ~ 1 + (1 | plate) + (1 | sample)", more = c("profile", "boot")),
    query("Pastes", "strength ~ 1 + (1 | batch/cask)", more = all),
    query("Pastes", "strength ~ 1 + (1 | batch) + (1 | sample)", FALSE, more = "text"),
    query("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", more = c("text", "boot")),
    query("cake", "angle ~ recipe + temperature + (1 | replicate/recipe)", FALSE),
    query("crossed", "y ~ x + (x | g) + (1 | h)", more = all),
    query("crossed", "y ~ x + (x | g) + (1 | h)", FALSE),
    query("crossed", "y ~ x + (x || g) + (0 + x | h)", more = "boot"),
    query("crossed", "y ~ x + (x | g) + (1 | g:h)", more = "text")
  )
}

tight <- function() {
  lme4::lmerControl(optCtrl = list(
    xtol_rel = 1e-10, xtol_abs = 1e-10, ftol_abs = 1e-15, ftol_rel = 0, maxeval = 20000
  ))
}

lmm_fit <- function(q, frame) {
  call <- list(as.formula(q$formula, env = globalenv()), data = frame, REML = q$REML, control = tight())
  if (!is.null(q$weights)) call$weights <- frame[[q$weights]]
  suppressMessages(suppressWarnings(do.call(lme4::lmer, call)))
}

# fixef, SE, theta, sigma of a few seeded replicates.
lmm_replicates <- function(fit, use.u) {
  stat <- function(m) c(lme4::fixef(m), sqrt(diag(as.matrix(vcov(m)))), lme4::getME(m, "theta"), sigma(m))
  b <- suppressWarnings(suppressMessages(lme4::bootMer(fit, stat, nsim = 8, seed = 7, use.u = use.u)))
  unname(b$t)
}

lmm_answer <- function(q, frame) {
  fit <- lmm_fit(q, frame)
  theta <- lme4::getME(fit, "theta")
  call <- list(as.formula(q$formula, env = globalenv()), data = frame, REML = q$REML, devFunOnly = TRUE)
  if (!is.null(q$weights)) call$weights <- frame[[q$weights]]
  objective <- do.call(lme4::lmer, call)
  elsewhere <- 0.3 + 0.1 * seq_along(theta)
  out <- c(q, list(
    tables = lmer_tables(fit)[c("coef", "vcov", "varcorr", "theta", "ranef", "glance")],
    singular = lme4::isSingular(fit),
    objective = list(theta = unname(theta), value = objective(theta)),
    elsewhere = list(theta = elsewhere, value = objective(elsewhere)),
    fitted = unname(fitted(fit))
  ))
  if ("text" %in% q$more) {
    fit@call <- call("lmer", formula = as.formula(q$formula), data = as.name(q$data))
    if (!q$REML) fit@call$REML <- FALSE
    out$text <- capture.output(print(summary(fit)))
  }
  if ("boot" %in% q$more) {
    out$boot <- list(draw = lmm_replicates(fit, FALSE), keep = lmm_replicates(fit, TRUE))
  }
  if ("profile" %in% q$more) {
    fine <- function(...) {
      suppressMessages(suppressWarnings(confint_table(confint(profile(fit, ...)))))
    }
    out$profile <- fine()
    out$profile_fine <- fine(delta = 0.08)
  }
  out
}

# A frame or table as plain lists: factors as levels and codes.
plain <- function(x) {
  if (is.data.frame(x) && !is.null(attr(x, "tidy"))) return(x)
  if (is.factor(x)) {
    return(list(levels = as.list(levels(x)), codes = as.list(as.integer(x) - 1L), ordered = is.ordered(x)))
  }
  if (is.matrix(x)) return(lapply(seq_len(nrow(x)), function(i) as.list(unname(x[i, ]))))
  if (is.data.frame(x)) {
    rows <- if (is.character(attr(x, "row.names"))) list(rows = as.list(rownames(x)))
    return(c(rows, lapply(as.list(x), plain)))
  }
  if (is.list(x)) return(lapply(x, plain))
  if (is.null(x) || (length(x) == 1L && is.null(names(x)))) return(x)
  as.list(unname(x))
}

json <- function(x) {
  if (is.list(x)) {
    parts <- vapply(x, json, "")
    if (is.null(names(x))) return(sprintf("[%s]", paste(parts, collapse = ", ")))
    return(sprintf("{%s}", paste(paste(encodeString(names(x), quote = '"'), parts, sep = ": "), collapse = ", ")))
  }
  if (is.null(x)) return("null")
  if (is.logical(x)) return(if (is.na(x)) "null" else tolower(as.character(x)))
  if (is.character(x)) return(encodeString(x, quote = '"'))
  if (is.na(x)) "null" else sprintf("%.17g", x)
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"), width = 80)
  suppressPackageStartupMessages(library(lme4))
  source("r_scripts/tables.R")
  frames <- lmm_frames()
  cat("{\"frames\":", json(plain(frames)), ",\n\"models\": [\n")
  answers <- vapply(lmm_queries(), function(q) json(plain(lmm_answer(q, frames[[q$data]]))), "")
  cat(paste(answers, collapse = ",\n"), "\n]}\n")
}
