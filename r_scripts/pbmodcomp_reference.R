# What pbkrtest's PBmodcomp answers, with every statistic of its reference distribution, at lme4's
# default optimizer and at a tight one, for the pairs of models that the tests of pbmodcomp fit.
# Plain functions; by hand, from the project's root,
# `Rscript --vanilla r_scripts/pbmodcomp_reference.R > tests/data/pbmodcomp_reference.json`.
# Data sets that r_scripts/lmm_reference.R and r_scripts/ddf_reference.R record are not written again.

pbmodcomp_frames <- function() {
  frames <- ddf_frames()$all
  frames$assays <- transform(frames$Penicillin, dose = (seq_len(144) * 7) %% 5)
  frames
}

pbmodcomp_queries <- function() {
  pair <- function(data, large, small, nsim, seed, REML = TRUE, weights = NULL) {
    list(data = data, large = large, small = small, nsim = nsim, seed = seed, REML = REML,
         weights = weights)
  }
  list(
    pair("balanced", "Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days | Subject)", 50, 1),
    pair("balanced", "Reaction ~ Days + I(Days^2) + (1 | Subject)", "Reaction ~ 1 + (1 | Subject)", 50, 11),
    pair("unbalanced", "Reaction ~ Days * grp + (Days | Subject)", "Reaction ~ Days + (Days | Subject)", 50, 2),
    pair("document", "y ~ x + (1 | p)", "y ~ 1 + (1 | p)", 50, 3),
    pair("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)",
         "angle ~ recipe + temperature + (1 | recipe:replicate)", 50, 4),
    pair("assays", "diameter ~ dose + (1 | plate) + (1 | sample)", "diameter ~ 1 + (1 | plate) + (1 | sample)", 50, 5),
    pair("Pastes", "strength ~ cask + (1 | batch) + (1 | sample)", "strength ~ 1 + (1 | batch) + (1 | sample)",
         50, 6, REML = FALSE),
    pair("holes", "Reaction ~ Days + offset(known) + (Days | Subject)", "Reaction ~ 1 + offset(known) + (Days | Subject)",
         50, 7, weights = "w"),
    pair("document", "x ~ half + (1 | p)", "x ~ 1 + (1 | p)", 50, 8),
    pair("crossed", "y ~ x + (x | g) + (1 | h)", "y ~ 1 + (x | g) + (1 | h)", 50, 9),
    pair("Machines", "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)",
         "score ~ 1 + (1 | Worker) + (1 | Worker:Machine)", 50, 10),
    pair("balanced", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)", 50, 12),
    pair("balanced", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", "Reaction ~ Days + (1 | Subject)", 50, 13),
    pair("unbalanced", "Reaction ~ late * grp", "Reaction ~ late + grp", 50, 14),
    pair("unbalanced", "Reaction ~ Days * grp + offset(dose)", "Reaction ~ grp + offset(dose)", 50, 15, weights = "w"),
    pair("unbalanced", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days", 50, 16)
  )
}

pbmodcomp_fit <- function(formula, q) {
  formula <- as.formula(formula, env = globalenv())
  call <- list(formula, data = as.name(".frame"))
  if (!is.null(q$weights)) call$weights <- as.name(q$weights)
  if (is.null(lme4::findbars(formula))) return(do.call(stats::lm, call))
  quiet(do.call(lme4::lmer, c(call, REML = q$REML)))
}

# refit() takes no controls from the fit: the optimizer's own defaults decide where it stops.
with_tight_defaults <- function(code) {
  home <- environment(lme4::nloptwrap)
  usual <- home$defaultControl
  on.exit(home$defaultControl <- usual)
  home$defaultControl <- modifyList(usual, ddf_tight()$optCtrl)
  code
}

# pbkrtest refuses a small model without random effects: the same statistics by the same functions.
compared <- function(large, small, nsim) {
  if (inherits(small, "lm") && !inherits(large, "lm")) {
    large <- update(large, REML = FALSE)
    likelihood <- function(fit) as.numeric(logLik(fit))
    return(list(
      ref = vapply(simulate(small, nsim), function(y) {
        .frame[[as.character(formula(small)[[2]])]] <<- y
        2 * (likelihood(quiet(refit(large, y))) - likelihood(update(small, data = .frame)))
      }, 0, USE.NAMES = FALSE),
      LRTstat = c(tobs = 2 * (likelihood(large) - likelihood(small)),
                  df = attr(logLik(large), "df") - attr(logLik(small), "df"))
    ))
  }
  quiet(pbkrtest::PBmodcomp(large, small, nsim = nsim))
}

# The small model as pbkrtest draws from it.
drawn_from <- function(small) if (inherits(small, "lm")) small else update(small, REML = FALSE)

# The likelihood ratios of the lowest criteria that lme4 finds from several starts. A refit has one
# start, the estimate from the data, from which it may not reach the optimum.
lowest <- function(large, small, q) {
  criterion <- function(fit, y) {
    .frame[[as.character(formula(fit)[[2]])]] <<- y
    if (inherits(fit, "lm")) return(-2 * as.numeric(logLik(update(fit, data = .frame))))
    own <- lme4::getME(fit, "theta")
    start <- as.numeric(lme4::getME(fit, "lower") == 0)
    min(vapply(list(own, start, start * seq(0.1, 0.3, length.out = length(start))), function(theta) {
      -2 * as.numeric(logLik(quiet(update(fit, start = theta, REML = FALSE))))
    }, 0))
  }
  set.seed(q$seed)
  responses <- simulate(drawn_from(small), q$nsim)
  vapply(responses, function(y) criterion(small, y) - criterion(large, y), 0, USE.NAMES = FALSE)
}

# The test by F with the mean of the reference distribution over the degrees of freedom. pbkrtest
# 0.5.2 takes the mean itself, which is another one where there are several degrees of freedom.
matched_F <- function(lrt, df, reference) {
  mean <- mean(reference[reference > 0]) / df
  ddf <- 2 * mean / (mean - 1)
  list(stat = lrt / df, df = df, ddf = ddf, p.value = if (ddf > 2) pf(lrt / df, df, ddf, lower.tail = FALSE) else NA)
}

pbmodcomp_answer <- function(q, frame) {
  answer <- function() {
    .frame <<- frame
    large <- pbmodcomp_fit(q$large, q)
    small <- pbmodcomp_fit(q$small, q)
    set.seed(q$seed)
    found <- compared(large, small, q$nsim)
    .frame <<- frame
    lrt <- found$LRTstat[["tobs"]]
    df <- found$LRTstat[["df"]]
    reference <- as.numeric(found$ref)
    out <- list(
      theta = if (!inherits(small, "lm")) as.list(unname(lme4::getME(drawn_from(small), "theta"))),
      lrt = lrt, df = df, reference = as.list(reference), F = matched_F(lrt, df, reference)
    )
    if (inherits(found, "PBmodcomp")) {
      out$summary <- columns(summary(found)$test)
      out$text <- as.list(sub(" time: [0-9.]+ sec;", "", capture.output(print(summary(found)))))
    }
    out
  }
  best <- function() {
    .frame <<- frame
    as.list(lowest(pbmodcomp_fit(q$large, q), pbmodcomp_fit(q$small, q), q))
  }
  c(q, list(
    default = answer(), tight = with_tight_defaults(answer()), lowest = with_tight_defaults(best())
  ))
}

if (sys.nframe() == 0L) {
  invisible(Sys.setlocale("LC_COLLATE", "C"))
  options(contrasts = c("contr.treatment", "contr.poly"), width = 80)
  suppressPackageStartupMessages({
    library(lme4); library(pbkrtest)
  })
  for (script in c("lmm_reference.R", "document.R", "ddf_reference.R")) source(file.path("r_scripts", script))
  frames <- pbmodcomp_frames()
  versions <- c(R = as.character(getRversion()), vapply(
    c("lme4", "pbkrtest"), function(p) as.character(packageVersion(p)), ""
  ))
  cat("{\"versions\":", json(as.list(versions)), ",\n\"dose\":", json(as.list(frames$assays$dose)), ",\n\"pairs\": [\n")
  between <- ""
  for (q in pbmodcomp_queries()) {
    message(q$data, ": ", q$large, " against ", q$small)
    cat(between, json(plain(pbmodcomp_answer(q, frames[[q$data]]))), sep = "")
    between <- ",\n"
  }
  cat("\n]}\n")
}
