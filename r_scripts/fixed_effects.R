# What lmerTest, pbkrtest and emmeans answer about the fixed effects of a mixed model: degrees of
# freedom, tests of type III, marginal means and their pairwise differences.
# Plain functions, which need tables.R, models.R and document.R; by hand, from the project's root,
# `Rscript --vanilla r_scripts/fixed_effects.R` shows the tables of the unbalanced part of sleepstudy.

# sleepstudy with a factor between the subjects, one within them, and groups of subjects.
sleepstudy_groups <- function() {
  sleep <- model_data("sleepstudy")
  subject <- as.integer(sleep$Subject)
  sleep$grp <- factor(c("a", "b", "c")[subject %% 3 + 1])
  sleep$late <- factor(ifelse(sleep$Days > 4, "late", "early"))
  sleep$dose <- factor((subject * 5) %% 7 + 10)
  sleep
}

# A part of it: two thirds of the rows, and of two subjects one or two.
unbalanced <- function() {
  sleep <- sleepstudy_groups()
  i <- seq_len(nrow(sleep))
  kept <- (i * i) %% 7 != 2 & !(sleep$Subject %in% c("308", "330") & sleep$Days > 2)
  data.frame(sleep[kept, ], row.names = NULL)
}

machines <- function() {
  found <- new.env()
  data(list = "Machines", package = "nlme", envir = found)
  data <- as.data.frame(found$Machines)
  data.frame(score = data$score, Machine = data$Machine, Worker = factor(as.character(data$Worker)))
}

fixed_effects_data <- function(dataset) {
  own <- list(
    document = document_data, sleepstudy_groups = sleepstudy_groups, unbalanced = unbalanced,
    machines = machines
  )
  if (dataset %in% names(own)) own[[dataset]]() else model_data(dataset)
}

# The tables of R's tests for a fit of lme4, those of `kinds`. `means` names the variables of marginal
# means. Satterthwaite's method takes numerical derivatives of the criterion.
test_tables <- function(fit, kinds, means = NULL) {
  tested <- lmerTest::as_lmerModLmerTest(fit)
  df <- function(ddf) coef(summary(tested, ddf = ddf))[, "df"]
  of_terms <- function(ddf) {
    found <- as.data.frame(anova(tested, type = 3, ddf = ddf))
    named_table(
      rownames(found), num_df = found$NumDF, den_df = found$DenDF,
      f_statistic = found[["F value"]], p_value = found[["Pr(>F)"]]
    )
  }
  of_means <- function() emmeans::emmeans(tested, means)
  tables <- list(
    ddf = function() {
      named_table(
        names(fixef(fit)),
        satterthwaite = unname(df("Satterthwaite")), kenward_roger = unname(df("Kenward-Roger"))
      )
    },
    vcov_kr = function() {
      adjusted <- as.matrix(pbkrtest::vcovAdj(tested))
      dimnames(adjusted) <- rep(list(names(fixef(fit))), 2L)
      as.data.frame(adjusted, optional = TRUE)
    },
    anova_type3 = function() of_terms("Satterthwaite"),
    anova_type3_kr = function() of_terms("Kenward-Roger"),
    emmeans = function() {
      found <- as.data.frame(summary(of_means()))
      named_table(
        do.call(paste, c(lapply(found[means], as.character), sep = ".")),
        estimate = found$emmean, std_error = found$SE, df = found$df,
        conf_low = found$lower.CL, conf_high = found$upper.CL
      )
    },
    pairs = function() {
      found <- as.data.frame(summary(pairs(of_means())))
      named_table(
        as.character(found$contrast),
        estimate = found$estimate, std_error = found$SE, df = found$df,
        statistic = found$t.ratio, p_value = found$p.value
      )
    }
  )
  lapply(tables[intersect(names(tables), unlist(kinds))], function(table) suppressMessages(table()))
}

# All that a case asks for: the tables of REML fits at lme4's default and at tight controls.
fixed_effects <- function(dataset, formula, kinds, tests, contrasts = NULL, means = NULL) {
  for (package in c("lmerTest", "pbkrtest", "emmeans")) loadNamespace(package)
  suppressPackageStartupMessages(library(lme4))
  data <- fixed_effects_data(dataset)
  fits <- list()
  for (name in c("lmer", "lmer_tight")) {
    message(dataset, ": ", name)
    control <- if (name == "lmer") lmerControl() else tight_control()
    arguments <- list(as.formula(formula), data = data, control = control)
    if (length(contrasts)) arguments$contrasts <- as.list(contrasts)
    fits[[name]] <- do.call(lme4::lmer, arguments)
  }
  parts <- lapply(fits, function(fit) {
    c(lmer_tables(fit)[unlist(kinds)], test_tables(fit, tests, unlist(means)))
  })
  list(
    tables = c(list(data = data), flatten_tables(parts)), notes = lapply(fits, optimizer_note)
  )
}

if (sys.nframe() == 0L) {
  for (script in c("tables.R", "models.R", "document.R")) source(file.path("r_scripts", script))
  found <- fixed_effects(
    "unbalanced", "Reaction ~ Days * grp + (Days | Subject)", c("coef", "theta"),
    c("ddf", "vcov_kr", "anova_type3", "anova_type3_kr", "emmeans", "pairs"),
    contrasts = list(grp = "contr.sum"), means = "grp"
  )
  print(found$tables[-1L], digits = 10)
}
