# What runs in R for `child.py`: the value is an environment of functions. `refresh` makes each call
# start from the same options, generators, locale and folder, even if the last script changed them.
# A call names its arguments as variables, so that match.call() in R sees `data` rather than the data
# themselves.
local({
  kinds <- c("Mersenne-Twister", "Inversion", "Rejection")
  levels <- 50  # how deep lists may lie in lists, as in values.py
  longest <- 8000  # characters of a message that are passed on
  options(contrasts = c("contr.treatment", "contr.poly"), digits = 7, stringsAsFactors = FALSE,
          warn = 1, device = function(...) grDevices::pdf(NULL, ...))
  initial <- list(options = options(), folder = getwd(), environment = Sys.getenv())
  sourced <- new.env()

  refresh <- function() {
    while (sink.number() > 0) sink()
    options(initial$options)
    setwd(initial$folder)
    now <- Sys.getenv()
    if (!identical(now, initial$environment)) {
      Sys.unsetenv(setdiff(names(now), names(initial$environment)))
      do.call(Sys.setenv, as.list(initial$environment))
    }
    if (suppressWarnings(Sys.setlocale("LC_ALL", "C.UTF-8")) == "") Sys.setlocale("LC_ALL", "C")
    Sys.setlocale("LC_COLLATE", "C")
    # RNGkind() draws a new state even where the kind stays, which would break off a stream.
    if (!identical(RNGkind(), kinds)) do.call(RNGkind, as.list(kinds))
  }

  load <- function(paths, hash) {
    script <- paths[length(paths)]
    if (!identical(sourced[[script]]$hash, hash)) {
      env <- new.env(parent = globalenv())
      for (path in paths) {
        tryCatch(
          source(path, local = env, encoding = "UTF-8", keep.source = FALSE),
          error = function(e) {
            e$where <- sprintf("source(\"%s\")", basename(path))
            stop(e)
          })
      }
      assign(script, list(hash = hash, env = env), envir = sourced)
    }
    sourced[[script]]$env
  }

  # The text of a condition in UTF-8; invalid bytes are shown as <e9>.
  text_of <- function(condition) {
    text <- tryCatch(as.character(conditionMessage(condition)),
                     error = function(...) "an error without a message")
    strange <- !validEnc(text) | Encoding(text) == "bytes"
    text[strange] <- iconv(text[strange], "UTF-8", "UTF-8", sub = "byte")
    text <- paste(enc2utf8(text), collapse = "\n")
    more <- nchar(text, "chars") - longest
    if (more > 0) text <- sprintf("%s [%d more characters]", substr(text, 1, longest), more)
    if (text == "" && inherits(condition, "error")) "an error without a message" else text
  }

  run <- function(paths, hash, name, arguments, seed, note) {
    note_failure <- function(e) {
      missing <- if (inherits(e, "packageNotFoundError")) e$package else ""
      where <- if (is.null(e$where)) paste0(name, "()") else e$where
      list(FALSE, where, text_of(e), missing)
    }
    withCallingHandlers(
      tryCatch({
        refresh()
        env <- load(paths, hash)
        if (!exists(name, envir = env, mode = "function", inherits = FALSE))
          stop(sprintf("%s defines no such function", basename(paths[length(paths)])))
        frame <- list2env(arguments, parent = env)
        symbols <- lapply(names(arguments), as.name)
        code <- as.call(c(as.name(name), structure(symbols, names = names(arguments))))
        if (!is.null(seed)) set.seed(seed, kinds[1], kinds[2], kinds[3])
        list(TRUE, flatten(eval(code, frame), name, ""), RNGkind())
      }, error = note_failure),
      warning = function(w) {
        note("warning", text_of(w))
        tryInvokeRestart("muffleWarning")
      },
      message = function(m) {
        # Packages greet when they are loaded, in the first call only: that is no part of a result.
        if (!inherits(m, "packageStartupMessage"))
          note("message", sub("\n$", "", text_of(m)))
        tryInvokeRestart("muffleMessage")
      })
  }

  unfit <- function(x) {
    known <- c("factor", "ordered", "Date", "data.frame")
    if (is.function(x)) return(sprintf("a function (%s)", typeof(x)))
    if (is.data.frame(x) && !is.list(x)) return("a data frame that is no list")
    if (isS4(x)) return(sprintf("an S4 object of class %s", class(x)[1]))
    if (is.object(x) && !all(class(x) %in% known))
      return(sprintf("an object of class %s", class(x)[1]))
    if (inherits(x, "Date") && !is.numeric(unclass(x))) return("a Date that is no number")
    if (is.list(x) && !is.null(dim(x)) && !is.data.frame(x)) return("a matrix of lists")
    if (is.character(x) && !all(validEnc(x) & Encoding(x) != "bytes"))
      return("a string that is no text in its encoding (iconv() gives it the right one)")
    plain <- c("NULL", "logical", "integer", "double", "character", "list")
    if (typeof(x) %in% plain) return(NULL)
    labels <- c(environment = "an environment", externalptr = "an external pointer",
                complex = "complex numbers", raw = "raw bytes")
    if (typeof(x) %in% names(labels)) labels[[typeof(x)]] else sprintf("R code (%s)", typeof(x))
  }

  # list(kind, data without attributes, attributes by name, each flattened in turn)
  flatten <- function(x, name, path, level = 0) {
    problem <- if (level > levels) sprintf("a list of more than %d levels", levels) else unfit(x)
    if (level > levels) path <- ""
    if (!is.null(problem)) {
      what <- if (path == "") problem else sprintf("a list in which %s is %s", path, problem)
      remedy <- paste("return a number, a vector with names, a matrix, a data frame,",
                      "or a named list of these")
      e <- simpleError(sprintf("%s() returned %s; %s", name, what, remedy))
      e$where <- ""
      stop(e)
    }
    extra <- attributes(x)[c("names", "dim", "dimnames", "levels", "class")]
    if (is.data.frame(x) && .row_names_info(x) > 0) extra$row.names <- row.names(x)
    extra <- Filter(Negate(is.null), extra)
    if (is.data.frame(x)) extra$nrow <- nrow(x)
    attributes(x) <- NULL
    if (is.character(x)) {
      x <- enc2utf8(x)
    } else if (is.list(x)) {
      labels <- extra$names
      steps <- if (is.null(labels)) sprintf("[[%d]]", seq_along(x)) else paste0("$", labels)
      x <- lapply(seq_along(x), function(i)
        flatten(x[[i]], name, paste0(path, steps[i]), level + 1))
    }
    list(typeof(x), x, lapply(extra, flatten, name, path))
  }

  build <- function(data, extra) {
    attributes(data) <- extra
    data
  }

  versions <- function() {
    of <- function(package) {
      found <- suppressWarnings(utils::packageDescription(package, fields = "Version"))
      if (!is.na(found)) found
    }
    packages <- c(
      "lme4", "nlme", "lmerTest", "pbkrtest", "emmeans", "car", "lmtest", "quantreg", "sandwich", "survival",
      "geepack", "glmnet"
    )
    found <- sapply(packages, of, simplify = FALSE)
    flatten(c(R = as.character(getRversion()), found), "versions", "")
  }

  environment()
}, envir = new.env(parent = baseenv()))
