# What R's own engines answer for one model of a data frame: lme4 at its default and run to the limit
# of rounding, nlme, and lm. Plain functions, which need tables.R and models.R; by hand, from the
# project's root, `Rscript --vanilla r_scripts/engines.R` shows lme4 and nlme on sleepstudy.

# engine_answer("lme4", data, model): the tables of the model, its optimizer, and what R said. `model`
# is list(formula, kinds) and, for mixed models, reml and weights (a column's name), for linear ones
# contrasts (factor to the name of a function) and perfect. Where there is no answer, `gap` says why.
engine_answer <- function(engine, data, model) {
  said <- character()
  note <- function(condition) {
    if (!inherits(condition, "packageStartupMessage")) {
      said <<- c(said, trimws(conditionMessage(condition)))
    }
    tryInvokeRestart(if (inherits(condition, "warning")) "muffleWarning" else "muffleMessage")
  }
  answer <- tryCatch(
    withCallingHandlers(ENGINES[[engine]](data, model), warning = note, message = note),
    packageNotFoundError = stop,
    unsupported = function(e) list(gap = conditionMessage(e)),
    error = function(e) list(gap = paste("R error:", gsub("[[:space:]]+", " ", conditionMessage(e))))
  )
  c(answer, list(said = said))
}

# A model that an engine cannot express.
unsupported <- function(...) {
  stop(structure(list(message = paste0(...), call = NULL), class = c("unsupported", "error", "condition")))
}

answer_lmer <- function(data, model, control) {
  suppressPackageStartupMessages(library(lme4))
  fit <- model_fit(data, model$formula, model$reml, control, model$weights)
  list(tables = lmer_tables(fit)[model$kinds], optimizer = optimizer_note(fit))
}

answer_lm <- function(data, model) {
  fit <- lm(as.formula(model$formula), data, contrasts = model$contrasts)
  if (model$perfect) {
    b <- coef(fit)
    return(list(tables = list(coef = named_table(names(b), estimate = unname(b)))))
  }
  list(tables = lm_tables(fit)[model$kinds])
}

# lme() has no formulas for crossed or repeated terms, nor an offset: it is handed the columns that lme4
# makes of the model, which gives the bits of a formula typed by hand, and answers under lme4's names.
answer_lme <- function(data, model) {
  arguments <- list(as.formula(model$formula), data = data, REML = model$reml)
  if (!is.null(model$weights)) arguments$weights <- data[[model$weights]]
  made <- do.call(lme4::lFormula, arguments)
  terms <- random_terms(made$reTrms)
  groups <- nested_groups(made$reTrms$flist)
  columns <- lme_columns(made, terms, groups)
  fit <- nlme::lme(
    reformulate(c("0", columns$X), "y"), columns$data,
    random = lapply(columns$Z, lme_structure),
    weights = if (!is.null(model$weights)) nlme::varFixed(~variance),
    method = if (model$reml) "REML" else "ML"
  )
  list(
    tables = lme_tables(fit, colnames(made$X), terms, groups, columns$Z)[model$kinds],
    optimizer = lme_note(nlme::lmeControl())
  )
}

lme_note <- function(control) {
  shown <- control[c("maxIter", "msMaxIter", "tolerance", "niterEM", "msTol")]
  list(
    optimizer = control$opt,
    control = paste(names(shown), unlist(shown), sep = " = ", collapse = ", ")
  )
}

# Each random term: its group, the names of its coefficients, and their covariates as columns.
random_terms <- function(re) {
  assign <- attr(re$flist, "assign")
  lapply(seq_along(re$cnms), function(t) {
    k <- length(re$cnms[[t]])
    Zt <- re$Ztlist[[t]]
    Z <- vapply(seq_len(k), function(j) {
      Matrix::colSums(Zt[seq(j, nrow(Zt), by = k), , drop = FALSE])
    }, numeric(ncol(Zt)))
    list(group = names(re$flist)[assign[t]], names = re$cnms[[t]], Z = Z)
  })
}

term_columns <- function(terms, t) paste0("Z", t, "_", seq_along(terms[[t]]$names))

# The grouping factors from the outermost to the innermost.
nested_groups <- function(factors) {
  groups <- rev(as.list(factors))
  groups <- groups[order(vapply(groups, nlevels, 1L))]
  for (i in seq_along(groups)[-1L]) {
    if (!lme4::isNested(groups[[i]], groups[[i - 1L]])) {
      unsupported(
        "crossed random effects (", names(groups)[i - 1L], " and ", names(groups)[i],
        "): lme() has nested ones only"
      )
    }
  }
  groups
}

# The data frame that lme() gets; the names of its columns for X, and by group those of each term.
lme_columns <- function(made, terms, groups) {
  offset <- model.offset(made$fr)
  y <- model.response(made$fr)
  data <- data.frame(y = if (is.null(offset)) y else y - offset)
  X <- paste0("X", seq_len(ncol(made$X)))
  data[X] <- unclass(made$X)
  weights <- model.weights(made$fr)
  if (!is.null(weights)) data$variance <- 1 / weights
  Z <- setNames(vector("list", length(groups)), paste0("g", seq_along(groups)))
  for (t in seq_along(terms)) {
    g <- match(terms[[t]]$group, names(groups))
    columns <- term_columns(terms, t)
    data[columns] <- terms[[t]]$Z
    Z[[g]] <- c(Z[[g]], list(columns))
  }
  for (g in seq_along(groups)) data[[names(Z)[g]]] <- factor(as.integer(groups[[g]]))
  list(data = data, X = X, Z = Z)
}

# Covariances of a group's terms: free within each, zero between them.
lme_structure <- function(blocks) {
  formula <- function(columns) reformulate(c("0", columns))
  if (length(blocks) == 1L) return(nlme::pdLogChol(formula(blocks[[1L]])))
  if (all(lengths(blocks) == 1L)) return(nlme::pdDiag(formula(unlist(blocks))))
  nlme::pdBlocked(lapply(blocks, function(block) nlme::pdLogChol(formula(block))))
}

lme_tables <- function(fit, X, terms, groups, Z) {
  s <- summary(fit)$tTable
  v <- vcov(fit)
  # Each term's upper triangle R, whose R'R is its covariance relative to sigma's.
  factors <- lapply(seq_along(terms), function(t) {
    g <- match(terms[[t]]$group, names(groups))
    columns <- term_columns(terms, t)
    nlme::pdMatrix(fit$modelStruct$reStruct[[names(Z)[g]]], factor = TRUE)[columns, columns, drop = FALSE]
  })
  list(
    coef = named_table(X, estimate = s[, "Value"], std_error = s[, "Std.Error"], statistic = s[, "t-value"]),
    vcov = as.data.frame(matrix(v, nrow(v), dimnames = list(X, X)), optional = TRUE),
    varcorr = lme_varcorr(factors, terms, fit$sigma),
    theta = do.call(rbind, Map(lme_theta, factors, terms)),
    ranef = lme_ranef(fit, terms, groups),
    glance = named_table(
      "1",
      sigma = fit$sigma, nobs = nobs(fit), log_lik = as.numeric(logLik(fit)), aic = AIC(fit),
      bic = BIC(fit), criterion = -2 * as.numeric(logLik(fit))
    ),
    residual_quantiles = quantile_table(residuals(fit, type = "pearson"))
  )
}

# Variances, then covariances of each term with correlations, the residual last.
lme_varcorr <- function(factors, terms, sigma) {
  labels <- make.unique(vapply(terms, `[[`, "", "group"))
  tables <- Map(function(R, term, label) {
    cov <- sigma^2 * crossprod(R)
    sd <- sqrt(diag(cov))
    below <- which(lower.tri(cov), arr.ind = TRUE)
    named_table(
      c(
        paste(label, term$names, sep = "."),
        sprintf("%s.%s.%s", label, term$names[below[, 2L]], term$names[below[, 1L]])
      ),
      vcov = c(diag(cov), cov[below]),
      sdcor = c(sd, (cov / outer(sd, sd))[below])
    )
  }, factors, terms, labels)
  rbind(do.call(rbind, unname(tables)), named_table("Residual", vcov = sigma^2, sdcor = sigma))
}

# The lower triangle, column by column as lme4 has it.
lme_theta <- function(R, term) {
  L <- t(R)
  at <- which(lower.tri(L, diag = TRUE), arr.ind = TRUE)
  row <- term$names[at[, 1L]]
  col <- term$names[at[, 2L]]
  named_table(
    paste0(term$group, ".", row, ifelse(at[, 1L] == at[, 2L], "", paste0(".", col))),
    value = L[at]
  )
}

# lme() names the effects of an inner group by all the groups around it.
lme_ranef <- function(fit, terms, groups) {
  effects <- nlme::ranef(fit)
  if (is.data.frame(effects)) effects <- list(effects)
  path <- ""
  paths <- list()
  for (g in seq_along(groups)) {
    path <- paste0(path, if (g > 1L) "/", as.integer(groups[[g]]))
    paths[[g]] <- path[match(levels(groups[[g]]), groups[[g]])]
  }
  tables <- lapply(seq_along(terms), function(t) {
    g <- match(terms[[t]]$group, names(groups))
    found <- effects[[g]][paths[[g]], term_columns(terms, t), drop = FALSE]
    rows <- expand.grid(level = levels(groups[[g]]), name = terms[[t]]$names)
    named_table(
      paste(terms[[t]]$group, rows$level, rows$name, sep = "."),
      condval = unlist(found, use.names = FALSE)
    )
  })
  do.call(rbind, tables)
}

ENGINES <- list(
  "lme4" = function(data, model) answer_lmer(data, model, lme4::lmerControl()),
  "lme4-tight" = function(data, model) answer_lmer(data, model, tight_control()),
  "nlme" = answer_lme,
  "lm" = answer_lm
)

if (sys.nframe() == 0L) {
  for (script in c("tables.R", "models.R")) source(file.path("r_scripts", script))
  data(sleepstudy, package = "lme4")
  model <- list(
    formula = "Reaction ~ Days + (Days | Subject)", reml = TRUE, kinds = c("coef", "theta", "glance")
  )
  for (engine in c("lme4", "nlme")) print(engine_answer(engine, sleepstudy, model), digits = 10)
}
