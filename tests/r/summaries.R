# What R prints of the document's two models, for tests/test_live.py; needs document.R.

summaries <- function() {
  suppressPackageStartupMessages(library(lme4))
  data <- document_data()
  cat("Mixed Model\n")
  print(summary(document_lmer(data)))
  cat("Fixed Model\n")
  print(summary(document_lm(data, contr.sum(10))))
  TRUE
}
