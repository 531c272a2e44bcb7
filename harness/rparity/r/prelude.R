# What runs in R for `child.py`: the value is an environment of functions. `refresh` makes each call
# start from the same options, generators, locale and folder, even if the last script changed them.
# A call names its arguments as variables, so that match.call() in R sees `data` rather than the data
# themselves.
local({
  kinds <- c("Mersenne-Twister", "Inversion", "Rejection")
  levels <- 50  # how deep lists may lie in lists, as in values.py
  longest <- 8000  # characters of a message that are passed on
  deepest <- 20  # lines about the calls that led to an error
  widest <- 100  # characters of such a call
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
        doing <<- sprintf("source(\"%s\")", basename(path))
        own <<- sys.nframe() + 4  # source(), withVisible() and twice eval()
        source(path, local = env, encoding = "UTF-8", keep.source = FALSE)
      }
      own <<- Inf
      assign(script, list(hash = hash, env = env), envir = sourced)
    }
    sourced[[script]]$env
  }

  # Text in UTF-8; invalid bytes are shown as <e9>.
  readable <- function(text) {
    strange <- !validEnc(text) | Encoding(text) == "bytes"
    text[strange] <- iconv(text[strange], "UTF-8", "UTF-8", sub = "byte")
    enc2utf8(text)
  }

  text_of <- function(condition) {
    text <- tryCatch(as.character(conditionMessage(condition)),
                     error = function(...) "an error without a message")
    text <- paste(readable(text), collapse = "\n")
    more <- nchar(text, "chars") - longest
    if (more > 0) text <- sprintf("%s [%d more characters]", substr(text, 1, longest), more)
    if (text == "" && inherits(condition, "error")) "an error without a message" else text
  }

  # What runs now, as a message names it, and the number of calls on the stack that are not part of
  # it: those of this file and of source(). It is Inf where no code of the user runs.
  doing <- ""
  own <- Inf

  # The calls of the user's code that led to an error, the innermost first. `stack` is sys.calls() in
  # a calling handler, whose own call is the last. Those by which R raises an error are left out, and
  # so is the call of `name` if it is the only one.
  calls_of <- function(stack, name) {
    if (length(stack) <= own) return(list())
    stack <- stack[-c(seq_len(own), length(stack))]
    raises <- vapply(stack, function(call)
      is.name(call[[1]]) && as.character(call[[1]]) %in% c("stop", "signalCondition", ".handleSimpleError"), NA)
    if (any(raises)) {
      last <- max(which(raises))
      while (last > 0 && raises[last]) last <- last - 1
      stack <- stack[seq_len(last)]
    }
    if (length(stack) && is.function(stack[[1]][[1]])) stack[[1]][[1]] <- as.name(name)
    if (length(stack) == 1 && identical(stack[[1]][[1]], as.name(name))) list() else rev(stack)
  }

  # Those calls as lines of text; of many, those at both ends.
  shown <- function(stack) {
    line <- function(call) {
      text <- paste(readable(deparse(call, 500, nlines = 3)), collapse = " ")
      text <- gsub("[[:space:]]+", " ", text)
      if (nchar(text, "chars") > widest) paste0(substr(text, 1, widest - 1), "\u2026") else text
    }
    more <- length(stack) - deepest
    if (more <= 0) return(vapply(stack, line, ""))
    half <- deepest %/% 2
    c(vapply(stack[seq_len(half)], line, ""), sprintf("\u2026 (%d more calls)", more + 1),
      vapply(stack[seq(half + more + 2, length(stack))], line, ""))
  }

  stream <- function() get0(".Random.seed", globalenv(), inherits = FALSE)

  # The namespaces of packages, loaded as if R had started with them: a missing one is named later.
  preload <- function(packages) {
    for (package in packages) suppressPackageStartupMessages(requireNamespace(package, quietly = TRUE))
    suppressWarnings(rm(".Random.seed", envir = globalenv()))
  }

  # What is evaluated for a call: the function of the last script, or the code, whose value may be a
  # function, with the arguments.
  answer_to <- function(paths, hash, code, name, arguments, prepare) {
    env <- if (length(paths)) load(paths, hash) else globalenv()
    doing <<- paste0(name, "()")
    frame <- list2env(arguments, parent = env)
    symbols <- lapply(names(arguments), as.name)
    call_of <- function(f) as.call(c(f, structure(symbols, names = names(arguments))))
    if (is.null(code)) {
      if (!exists(name, envir = env, mode = "function", inherits = FALSE))
        stop(sprintf("%s defines no such function", basename(paths[length(paths)])))
      prepare()
      own <<- sys.nframe() + 2
      return(eval(call_of(as.name(name)), frame))
    }
    code <- parse(text = code, keep.source = FALSE, encoding = "UTF-8")
    prepare()
    own <<- sys.nframe() + 2  # eval() is twice on the stack
    value <- eval(code, frame)
    if (is.function(value)) eval(call_of(value), frame) else value
  }

  run <- function(paths, hash, code, name, arguments, seed, note) {
    stack <- list()
    doing <<- paste0(name, "()")
    own <<- Inf
    note_failure <- function(e) {
      missing <- if (inherits(e, "packageNotFoundError")) e$package else ""
      where <- if (is.null(e$where)) doing else e$where
      calls <- tryCatch(shown(calls_of(stack, name)), error = function(e) character())
      list(FALSE, where, text_of(e), missing, calls)
    }
    before <- NULL
    prepare <- function() {
      if (!is.null(seed)) set.seed(seed, kinds[1], kinds[2], kinds[3])
      before <<- stream()
    }
    withCallingHandlers(
      tryCatch(withCallingHandlers({
        refresh()
        value <- answer_to(paths, hash, code, name, arguments, prepare)
        own <<- Inf
        value <- flatten(value, name, "")
        drawn <- if (is.null(seed) && !identical(stream(), before)) stream()
        list(TRUE, value, RNGkind(), flatten(drawn, name, ""))
      }, error = function(e) stack <<- sys.calls()), error = note_failure),
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

  # What keeps a value from crossing, and what R's function is that mends it; NULL for nothing.
  unfit <- function(x) {
    of_class <- function(what) sprintf("%s of class %s", what, class(x)[1])
    code <- "return its text, by deparse1()"
    if (is.function(x)) return(c(sprintf("a function (%s)", typeof(x)), "return what it gives"))
    if (is.data.frame(x)) {
      if (!is.list(x)) return(c("a data frame that is no list", "make it with data.frame()"))
      if (!identical(class(x), "data.frame"))
        return(c(of_class("a data frame"), "return as.data.frame() of it"))
      return(NULL)
    }
    if (is.language(x)) {
      if (inherits(x, "formula")) return(c("an object of class formula", code))
      if (is.name(x)) return(c("R code (symbol)", "return its text, by as.character()"))
      return(c(sprintf("R code (%s)", typeof(x)), code))
    }
    if (is.environment(x)) return(c("an environment", "return as.list() of it"))
    if (is.list(x) && !is.null(dim(x)))
      return(c("a matrix of lists", "return unlist() of it, or remove its dim()"))
    if (is.object(x) && !all(class(x) %in% c(known, "ordered", "POSIXt", "hms", "IDate")))
      return(c(of_class("an object"), "return unclass() or as.vector() of it"))
    numeric <- c("Date", "POSIXct", "difftime")
    if (inherits(x, numeric) && !is.numeric(unclass(x)))
      return(c(sprintf("a %s that is no number", class(x)[1]), "return as.character() of it"))
    if (is.character(x) && !all(validEnc(x) & Encoding(x) != "bytes"))
      return(c("a string that is no text in its encoding", "iconv() gives it the right one"))
    plain <- c("NULL", "logical", "integer", "double", "character", "list", "complex", "raw")
    if (!typeof(x) %in% plain)
      c(if (typeof(x) == "externalptr") "an external pointer" else sprintf("a value of type %s", typeof(x)),
        "return the values that it leads to")
  }
  known <- c("factor", "Date", "POSIXct", "difftime", "integer64")
  # Data frames that differ from R's own in how they print and are indexed.
  frames <- c("data.frame", "tbl_df", "tbl", "spec_tbl_df", "data.table", "anova")

  objects <- list()  # by class, functions that return a plain value: objects.R
  learn <- function(by_class) objects <<- by_class

  # The first class of an object that is known here or in objects.R; NULL if none is.
  listed <- function(x) {
    for (class in if (isS4(x)) methods::is(x) else class(x))
      if (class %in% known || is.function(objects[[class]])) return(class)
  }

  # An object as plain values: by objects.R; models that are not there by broom; else slots and fields.
  simplify <- function(x) {
    if (!is.object(x)) return(if (typeof(x) == "pairlist") as.list(x) else x)
    if (is.data.frame(x)) return(if (all(class(x) %in% frames)) plain_frame(x) else x)
    class <- listed(x)
    if (!is.null(class)) return(if (class %in% known) x else simplify(objects[[class]](x)))
    if (is.function(x) || is.language(x)) return(x)
    if (is.environment(x)) return(members(x))
    tables <- if (isS4(x) || is.list(x) && is.null(dim(x))) by_broom(x)
    if (!is.null(tables)) return(tables)
    if (isS4(x)) {
      slots <- methods::slotNames(x)
      return(sapply(slots, function(slot) methods::slot(x, slot), simplify = FALSE))
    }
    if (is.list(x) && is.null(dim(x))) unclass(x) else x
  }

  # The fields of a reference object of R6 or of the package methods.
  members <- function(x) {
    own <- if (inherits(x, "R6")) {
      own <- setdiff(ls(x, sorted = FALSE), ".__enclos_env__")
      own <- own[!vapply(own, function(name) bindingIsActive(name, x), NA)]
    } else if (isS4(x)) {
      names(methods::getClass(class(x))@fieldClasses)
    } else return(x)
    found <- mget(own, envir = as.environment(x))
    found[!vapply(found, is.function, NA)]
  }

  # The tables of broom or broom.mixed, with terms as the names of rows; NULL if they have none.
  by_broom <- function(x) {
    tables <- list()
    for (package in c("broom", "broom.mixed")) {
      if (!requireNamespace(package, quietly = TRUE)) next
      for (verb in c("tidy", "glance", "augment")) {
        method <- NULL
        for (class in if (isS4(x)) methods::is(x) else class(x)) if (is.null(method))
          method <- utils::getS3method(verb, class, optional = TRUE, envir = asNamespace(package))
        if (is.null(method) || verb %in% names(tables)) next
        # One that fails, as augment() does where the data are gone, is left out.
        found <- tryCatch(as.data.frame(method(x)), error = function(e) NULL)
        if (is.null(found)) next
        found[] <- lapply(found, function(v) if (inherits(v, "logLik")) as.numeric(v) else v)
        for (label in c("term", ".rownames"))
          if (!is.null(found[[label]]) && !anyDuplicated(found[[label]])) {
            row.names(found) <- found[[label]]
            found[[label]] <- NULL
          }
        tables[[verb]] <- found
      }
      if (length(tables)) return(tables)
    }
    NULL
  }

  # A data frame of the class data.frame. Its columns that are matrices or data frames become columns,
  # as data.frame() has it.
  plain_frame <- function(x) {
    rows <- if (.row_names_info(x) > 0) attr(x, "row.names") else .set_row_names(nrow(x))
    wide <- vapply(unclass(x), function(column) length(dim(column)) == 2L, NA)
    if (!any(wide)) {
      attributes(x) <- list(names = names(x), row.names = rows, class = "data.frame")
      return(x)
    }
    parts <- lapply(seq_along(x), function(i) {
      column <- x[[i]]
      if (!wide[i]) return(stats::setNames(list(column), names(x)[i]))
      labels <- colnames(column)
      if (is.null(labels)) labels <- seq_len(ncol(column))
      stats::setNames(lapply(seq_len(ncol(column)), function(j) column[, j, drop = TRUE]),
                      paste(names(x)[i], labels, sep = "."))
    })
    plain_frame(structure(do.call(c, parts), class = "data.frame", row.names = rows))
  }

  # list(kind, data without attributes, attributes by name, each flattened in turn)
  # `owner` is the class of the object whose fields these are, of one that objects.R does not have.
  flatten <- function(x, name, path, level = 0, owner = NULL) {
    refuse <- function(problem) {
      what <- if (path == "") problem[1] else sprintf("a list in which %s is %s", path, problem[1])
      if (!is.null(owner)) {
        what <- sprintf("an object of class %s whose field %s is %s", owner, path, problem[1])
        problem[2] <- "return those of its fields that you need, in a list"
      }
      e <- simpleError(sprintf("%s() returned %s; %s.", name, what, problem[2]))
      e$where <- ""
      stop(e)
    }
    if (level > levels) {
      path <- ""
      refuse(c(sprintf("a list of more than %d levels", levels), "return less deep ones"))
    }
    class <- class(x)[1]
    known_here <- !is.object(x) || is.data.frame(x) || !is.null(listed(x))
    x <- tryCatch(simplify(x), error = function(e)
      refuse(if (inherits(e, "refusal")) e$problem
             else c(sprintf("an object of class %s that cannot be read (%s)", class, text_of(e)),
                    "return the fields that you need")))
    if (!is.null(problem <- unfit(x))) refuse(problem)
    extra <- attributes(x)[c("names", "dim", "dimnames", "levels", "class", "tzone", "units")]
    if (is.data.frame(x) && .row_names_info(x) > 0) extra$row.names <- row.names(x)
    extra <- Filter(Negate(is.null), extra)
    if (is.data.frame(x)) extra$nrow <- nrow(x)
    attributes(x) <- NULL
    if (is.character(x)) {
      x <- enc2utf8(x)
    } else if (is.complex(x)) {
      extra$typeof <- "complex"
      x <- as.vector(rbind(Re(x), Im(x)))
    } else if (is.raw(x)) {
      extra$typeof <- "raw"
      x <- as.integer(x)
    } else if (is.list(x)) {
      labels <- extra$names
      steps <- if (is.null(labels)) sprintf("[[%d]]", seq_along(x)) else paste0("$", labels)
      x <- lapply(seq_along(x), function(i)
        flatten(x[[i]], name, paste0(path, steps[i]), level + 1,
                if (known_here) owner else class))
    }
    list(typeof(x), x, lapply(extra, flatten, name, path))
  }

  # The reverse, of a value whose parts are built.
  build <- function(data, extra) {
    type <- extra$typeof
    extra$typeof <- NULL
    if (identical(type, "complex")) {
      parts <- matrix(data, nrow = 2)
      data <- complex(real = parts[1, ], imaginary = parts[2, ])
    } else if (identical(type, "raw")) {
      data <- as.raw(data)
    } else if (identical(type, "sparse")) {
      if (!requireNamespace("Matrix", quietly = TRUE))
        stop("a sparse matrix needs R's package Matrix: install.packages(\"Matrix\")")
      return(Matrix::sparseMatrix(i = data[[1]], p = data[[2]], x = data[[3]], dims = data[[4]],
                                  index1 = FALSE))
    }
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
