# What lmerTest, pbkrtest and emmeans answer, at a tight optimizer, for the models that the tests of
# degrees of freedom, of tests of fixed effects and of marginal means fit.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/ddf_reference.R > tests/data/ddf_reference.json`.
# Data sets that r_scripts/lmm_reference.R records are not written again.

ddf_frames <- function() {
  frames <- lmm_frames()
  sleep <- frames$sleepstudy
  i <- seq_len(nrow(sleep))
  sleep$grp <- factor(c("a", "b", "c")[as.integer(sleep$Subject) %% 3 + 1])
  sleep$late <- factor(ifelse(sleep$Days > 4, "late", "early"))
  sleep$dose <- (as.integer(sleep$Subject) * 5) %% 7 + 10
  sleep$w <- 0.5 + (i * 7) %% 5
  set.seed(1)
  document <- document_data()
  document$half <- factor(ifelse(seq_len(nrow(document)) %% 10 < 4, "one", "two"))
  machines <- frames$Machines
  crossed <- frames$crossed
  crossed$a <- factor(c("u", "v", "w")[(seq_len(nrow(crossed)) * 7) %% 3 + 1])
  crossed$b <- factor(c("no", "yes")[(seq_len(nrow(crossed)) %/% 4) %% 2 + 1])
  new <- list(
    document = document,
    unbalanced = sleep[(i * i) %% 7 != 2 & !(sleep$Subject %in% c("308", "330") & sleep$Days > 2), ],
    balanced = sleep,
    missing_cell = crossed[!(crossed$a == "w" & crossed$b == "yes"), ],
    crossed_factors = crossed,
    some_machines = machines[(seq_len(nrow(machines)) * 3) %% 10 != 1, ]
  )
  list(all = c(frames, new), new = new)
}

ddf_queries <- function() {
  query <- function(data, formula, ..., REML = TRUE, weights = NULL, contrasts = NULL) {
    list(data = data, formula = formula, REML = REML, weights = weights, contrasts = contrasts,
         emmeans = list(...))
  }
  by <- function(specs, by = NULL, at = NULL) list(specs = specs, by = by, at = at)
  list(
    query("document", "y ~ x + (1 | p)", by("x"), by("x", at = list(x = c(0, 5, 10)))),
    query("document", "y ~ x * half + (1 | p)", by("half"), by("half", at = list(x = 2))),
    query("document", "y ~ x + half + (x | p)", by("half")),
    query("document", "y ~ x + (x || p)"),
    query("balanced", "Reaction ~ Days + (Days | Subject)"),
    query("balanced", "Reaction ~ Days + (Days || Subject)"),
    query("balanced", "Reaction ~ Days + (1 | Subject)"),
    query("balanced", "Reaction ~ Days * grp + (Days | Subject)", by("grp"), by("grp", at = list(Days = 0))),
    query("balanced", "Reaction ~ late * grp + (1 | Subject)", by("late", "grp"), by(c("late", "grp"))),
    query("balanced", "Reaction ~ late * grp + (late | Subject)", by("grp")),
    query("unbalanced", "Reaction ~ Days + (Days | Subject)"),
    query("unbalanced", "Reaction ~ Days * grp + (Days | Subject)", by("grp"), by("grp", at = list(Days = c(0, 9)))),
    query("unbalanced", "Reaction ~ Days * grp + (Days || Subject)", by("grp")),
    query("unbalanced", "Reaction ~ Days * grp + (1 | Subject)", by("grp")),
    query("unbalanced", "Reaction ~ Days * grp + (Days | Subject)", by("grp"), contrasts = list(grp = "contr.sum")),
    query("unbalanced", "Reaction ~ Days * late * grp + (1 | Subject)", by("late", "grp")),
    query("unbalanced", "Reaction ~ late * grp + dose + (1 | Subject)", by("late", "grp"), by("dose"), by("late", at = list(dose = 12))),
    query("unbalanced", "Reaction ~ late + grp + (1 | Subject)", by("late"), by("grp")),
    query("unbalanced", "Reaction ~ Days + I(Days^2) + grp + (Days | Subject)", by("grp")),
    query("unbalanced", "Reaction ~ poly(Days, 2) * late + (1 | Subject)", by("late")),
    query("unbalanced", "Reaction ~ log(dose) + grp + (Days | Subject)", by("grp")),
    query("unbalanced", "Reaction ~ 0 + grp + Days + (Days | Subject)", by("grp")),
    query("unbalanced", "Reaction ~ Days * grp + (0 + Days | Subject)"),
    query("unbalanced", "Reaction ~ Days + grp + (Days | Subject)", weights = "w"),
    query("balanced", "Reaction ~ Days * grp + (1 | Subject)", by("grp"), weights = "w"),
    query("unbalanced", "Reaction ~ Days * grp + (Days | Subject)", by("grp"), REML = FALSE),
    query("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", by("recipe"), by("temperature", "recipe")),
    query("cake", "angle ~ recipe * temperature + (1 | replicate/recipe)", by("recipe", "temperature")),
    query("cake", "angle ~ recipe + temperature + (1 | replicate) + (1 | replicate:recipe)", by("temperature")),
    query("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)",
          contrasts = list(recipe = "contr.sum", temperature = "contr.helmert")),
    query("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    query("sparse", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    query("Pastes", "strength ~ 1 + (1 | batch/cask)"),
    query("Pastes", "strength ~ cask + (1 | batch)", by("cask")),
    query("Machines", "score ~ Machine + (1 | Worker)", by("Machine")),
    query("Machines", "score ~ Machine + (1 | Worker/Machine)", by("Machine")),
    query("Machines", "score ~ Machine + (Machine | Worker)", by("Machine")),
    query("Machines", "score ~ Machine + (0 + Machine | Worker)", by("Machine")),
    query("some_machines", "score ~ Machine + (1 | Worker/Machine)", by("Machine")),
    query("some_machines", "score ~ Machine + (Machine | Worker)", by("Machine")),
    query("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    query("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    query("document", "x ~ half + (1 | half:p)", by("half")),
    query("crossed_factors", "y ~ x + (x | g) + (1 | h)"),
    query("crossed_factors", "y ~ a * b + (1 | g) + (1 | h)", by("a", "b"), by("b")),
    query("crossed_factors", "y ~ a * b + x + (x | g) + (1 | h)", by(c("a", "b")), by("a")),
    query("crossed_factors", "y ~ a * b * x + (1 | g) + (0 + x | h)", by("a", "b", list(x = 1))),
    query("crossed_factors", "y ~ a * b + x + (x || g) + (1 | g:h)", by("a"),
          contrasts = list(a = "contr.sum", b = "contr.sum")),
    query("crossed_factors", "y ~ a * b + (a | g)", by("a", "b")),
    query("crossed_factors", "y ~ a * b + (1 | g) + (1 | a:g)"),
    query("unbalanced", "Reaction ~ late * grp + (1 | Subject) + (1 | dose)", by("grp")),
    query("document", "y ~ x + half + (1 | p) + (1 | half:p)", by("half")),
    query("cake", "angle ~ recipe * temperature + (recipe | replicate)"),
    query("missing_cell", "y ~ a * b + (1 | g)", by("b"), by("a", "b")),
    query("missing_cell", "y ~ x + a + b + (1 | g)", by("a")),
    query("crossed_factors", "y ~ a/b + (1 | g)"),
    query("crossed_factors", "y ~ poly(x, 2):a + b + (1 | g)"),
    query("crossed_factors", "y ~ 0 + a * b + x + (1 | h)", by("a")),
    query("unbalanced", "Reaction ~ Days + grp + (late + Days | Subject)")
  )
}

ddf_tight <- function() {
  lme4::lmerControl(optimizer = "nloptwrap", optCtrl = list(
    xtol_rel = 1e-14, xtol_abs = 1e-12, ftol_abs = 1e-14, ftol_rel = 0, maxeval = 20000
  ))
}

# lmerTest rounds its contrasts to seven digits (zapsmall); the same functions without that.
unrounded <- function(name, ...) {
  f <- getFromNamespace(name, "lmerTest")
  more <- list(zapsmall = function(x, ...) x, ...)
  environment(f) <- list2env(more, parent = asNamespace("lmerTest"))
  f
}
exact_type3 <- function(fit) {
  extract <- unrounded("extract_contrasts_type3")
  unrounded("get_contrasts_type3", extract_contrasts_type3 = extract)(fit)
}

quiet <- function(x) suppressMessages(suppressWarnings(x))

# A data frame as columns, with its row names; infinite degrees of freedom as NA.
columns <- function(x) {
  x <- as.data.frame(x)
  c(list(rows = as.list(rownames(x))), lapply(as.list(x), function(values) {
    if (is.numeric(values)) values[is.infinite(values)] <- NA
    as.list(if (is.factor(values)) as.character(values) else values)
  }))
}

f_table <- function(fit, contrasts, ddf) {
  tests <- lapply(contrasts, function(L) quiet(lmerTest::contestMD(fit, L, ddf = ddf)))
  if (length(tests)) columns(do.call(rbind, tests))
}

methods <- c(satterthwaite = "Satterthwaite", `kenward-roger` = "Kenward-Roger")

# pbkrtest leaves prior weights out of the covariance of the residuals; here they are in it.
with_weights <- function(fit) {
  parts <- pbkrtest:::get_SigmaG(fit)
  w <- weights(fit)
  last <- length(parts$G)
  parts$Sigma <- parts$Sigma + sigma(fit)^2 * (Matrix::Diagonal(x = 1 / w) - parts$G[[last]])
  parts$G[[last]] <- as(Matrix::Diagonal(x = 1 / w), "generalMatrix")
  pbkrtest:::vcovAdj_internal(vcov(fit), parts, lme4::getME(fit, "X"))
}

# What print(summary()) shows.
printed <- function(fit, q, available) {
  fit@call <- call("lmer", formula = as.formula(q$formula), data = as.name(q$data))
  if (!q$REML) fit@call$REML <- FALSE
  lapply(available, function(ddf) as.list(capture.output(print(quiet(summary(fit, ddf = ddf))))))
}

marginal_means <- function(fit, q, mode) {
  at <- if (!is.null(q$at)) list(at = q$at)
  by <- if (!is.null(q$by)) list(by = q$by)
  call <- c(list(fit, specs = q$specs), by, at, if (!is.null(mode)) list(lmer.df = mode))
  means <- quiet(do.call(emmeans::emmeans, call))
  out <- list(means = columns(summary(means)))
  found <- as.data.frame(summary(means))
  groups <- if (is.null(q$by)) 1 else nrow(unique(found[q$by]))
  if (nrow(found) > groups) {
    between <- quiet(pairs(means))
    out$pairs <- columns(summary(between, infer = c(TRUE, TRUE)))
    for (adjust in c("holm", "none")) {
      out[[adjust]] <- as.list(quiet(summary(between, infer = c(FALSE, TRUE), adjust = adjust))$p.value)
    }
  }
  out
}

ddf_answer <- function(q, frame) {
  call <- list(as.formula(q$formula, env = globalenv()), data = frame, REML = q$REML, control = ddf_tight())
  if (!is.null(q$weights)) call$weights <- frame[[q$weights]]
  if (!is.null(q$contrasts)) call$contrasts <- q$contrasts
  fit <- quiet(do.call(lmerTest::lmer, call))
  # Later calls refit the model: by name, in the global environment.
  assign(".frame", frame, envir = globalenv())
  fit@call$data <- as.name(".frame")
  if (!is.null(q$weights)) fit@call$weights <- as.name(q$weights)
  theta <- unname(lme4::getME(fit, "theta"))
  coefficients <- lapply(methods[if (q$REML) 1:2 else 1], function(ddf) {
    columns(quiet(coef(summary(fit, ddf = ddf))))
  })
  available <- methods[if (q$REML) 1:2 else 1]
  tables <- lapply(available, function(ddf) {
    list(
      I = columns(quiet(anova(fit, type = "I", ddf = ddf))),
      II = columns(quiet(anova(fit, type = "II", ddf = ddf))),
      III = columns(quiet(anova(fit, type = "III", ddf = ddf))),
      III_exact = f_table(fit, exact_type3(fit), ddf),
      drop1 = columns(quiet(drop1(fit, ddf = ddf)))
    )
  })
  adjusted <- quiet(pbkrtest::vcovAdj(fit))
  out <- c(q[c("data", "formula", "REML", "weights", "contrasts")], list(
    theta = as.list(theta), sigma = sigma(fit), singular = lme4::isSingular(fit),
    coefficients = coefficients, tables = tables,
    adjusted = as.matrix(adjusted),
    ranova = columns(quiet(lmerTest::ranova(fit))),
    summary = if (is.null(c(q$weights, q$contrasts))) printed(fit, q, available)
  ))
  if (!is.null(q$weights)) {
    adjusted <- with_weights(fit)
    L <- diag(nrow(adjusted))
    out$weighted <- list(adjusted = as.matrix(adjusted), df = as.list(apply(L, 1, function(l) {
      pbkrtest::Lb_ddf(l, vcov(fit), adjusted)
    })))
  }
  modes <- c("kenward-roger", "satterthwaite", "asymptotic")
  if (!q$REML || !is.null(q$weights)) modes <- modes[-1]
  out$emmeans <- lapply(q$emmeans, function(e) {
    c(e, lapply(setNames(modes, modes), function(mode) marginal_means(fit, e, mode)))
  })
  rm(.frame, envir = globalenv())
  out
}

# The same for least squares.
lm_queries <- function() {
  by <- function(specs, by = NULL, at = NULL) list(specs = specs, by = by, at = at)
  list(
    list(data = "unbalanced", formula = "Reaction ~ Days * grp", emmeans = list(by("grp"), by("grp", at = list(Days = 0)))),
    list(data = "unbalanced", formula = "Reaction ~ late * grp + dose", emmeans = list(by("late", "grp"), by(c("late", "grp")))),
    list(data = "crossed_factors", formula = "y ~ a * b + x", emmeans = list(by("a"), by("a", "b"))),
    list(data = "missing_cell", formula = "y ~ a * b", emmeans = list(by("a"), by("a", "b"))),
    list(data = "Machines", formula = "score ~ Machine + Worker", emmeans = list(by("Machine"), by("Worker")))
  )
}
lm_answer <- function(q, frame) {
  fit <- lm(as.formula(q$formula, env = globalenv()), data = frame)
  fit$call$data <- frame
  q$emmeans <- lapply(q$emmeans, function(e) c(e, list(lm = marginal_means(fit, e, NULL))))
  q
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"), width = 80)
  suppressPackageStartupMessages({
    library(lme4); library(lmerTest); library(pbkrtest); library(emmeans)
  })
  for (script in c("lmm_reference.R", "document.R")) source(file.path("r_scripts", script))
  frames <- ddf_frames()
  versions <- c(R = as.character(getRversion()), vapply(
    c("lme4", "lmerTest", "pbkrtest", "emmeans"), function(p) as.character(packageVersion(p)), ""
  ))
  cat("{\"versions\":", json(as.list(versions)), ",\n\"frames\":", json(plain(frames$new)), ",\n\"models\": [\n")
  ask <- function(answer, queries) {
    texts <- vapply(queries, function(q) {
      message(q$data, ": ", q$formula)
      json(plain(answer(q, frames$all[[q$data]])))
    }, "")
    cat(paste(texts, collapse = ",\n"), "\n]")
  }
  ask(ddf_answer, ddf_queries())
  cat(",\n\"lm\": [\n")
  ask(lm_answer, lm_queries())
  cat("}\n")
}
