"""The R process behind `RSession`: it embeds R and answers calls on a pipe (`workers.child.Child`).

Only this module touches rpy2. It imports little, so that R starts quickly. Every message is a pair,
as `workers.serve` has it: something said, or a problem as the exception's type and text. The first
message has R's versions. Then come, for each call, any number of `("message" | "warning", text)`
and one `("result", value, output, elapsed, rng_kind)` or `("error", where, text, missing_package)`.
`r.values` describes how values travel.
"""

import hashlib
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rparity.workers.serve import serve

MAX_OUTPUT = 1_000_000

# What runs on R's side. `refresh` makes each call start from the same options, generators, locale
# and folder, whatever the last script did to them. A call names its arguments as variables, so that
# match.call() in R sees `data` rather than the data themselves.
PRELUDE = r"""
local({
  kinds <- c("Mersenne-Twister", "Inversion", "Rejection")
  levels <- 50  # so deep may lists lie in lists, as `r.values` has it
  longest <- 8000  # characters of a message that are handed on
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

  # What R says, as text in UTF-8, whatever it is: bytes that are none are shown as <e9>.
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
        # What a package says when it is loaded is said in the first call only: no part of a result.
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
    found <- list(R = as.character(getRversion()), lme4 = of("lme4"), nlme = of("nlme"))
    flatten(found, "versions", "")
  }

  environment()
}, envir = new.env(parent = baseenv()))
"""


class Output:
    """What R prints: the first `MAX_OUTPUT` characters, and how many more there were."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0

    def write(self, text: str) -> None:
        """Take what R prints."""
        room = MAX_OUTPUT - self.length
        self.length += len(text)
        if room > 0:
            self.parts.append(text[:room])

    def take(self) -> str:
        """Return what R has printed since the last `take`."""
        cut = self.length - MAX_OUTPUT
        text = "".join(self.parts) + (f"\n[{cut} more characters cut off]" if cut > 0 else "")
        self.parts, self.length = [], 0
        return text


class EmbeddedR:
    """R inside this process, through rpy2's low-level interface.

    `rpy2.robjects` is not used: its conversion rules turn model objects into lists, and live in a
    ContextVar that threads lose.
    """

    def __init__(self) -> None:
        embedded: Any = import_module("rpy2.rinterface_lib.embedded")
        embedded.set_initoptions(("rpy2", "--vanilla", "--no-save", "--quiet"))
        rinterface: Any = import_module("rpy2.rinterface")
        callbacks: Any = import_module("rpy2.rinterface_lib.callbacks")
        self.ri = rinterface
        self.output = Output()
        callbacks.consolewrite_print = self.output.write
        callbacks.consolewrite_warnerror = self.output.write
        callbacks.showmessage = self.output.write
        rinterface.initr(interactive=False)
        self.prelude = rinterface.evalr(PRELUDE)
        self.vectors: dict[str, tuple[Any, Any]] = {
            "logical": (rinterface.BoolSexpVector, "i"),
            "integer": (rinterface.IntSexpVector, "i"),
            "double": (rinterface.FloatSexpVector, "d"),
        }

    def to_r(self, value: tuple[str, Any, dict[str, Any]]) -> Any:
        """Make an R value of (kind, data, attributes), as `r.values.to_wire` gives it."""
        kind, data, extra = value
        if kind == "NULL":
            return self.ri.NULL
        if kind == "list":
            vector = self.ri.ListSexpVector([self.to_r(item) for item in data])
        elif kind == "character":
            vector = self.ri.StrSexpVector.from_iterable(data)
        else:
            cls, code = self.vectors[kind]
            vector = cls.from_memoryview(memoryview(data).cast(code))
        if extra:
            names = self.ri.StrSexpVector(list(extra))
            attributes = self.ri.ListSexpVector([self.to_r(item) for item in extra.values()])
            attributes.names = names
            vector = self.prelude["build"](vector, attributes)
        return vector

    def from_r(self, flat: Any) -> tuple[str, Any, dict[str, Any]]:
        """Return (kind, data, attributes) of an R value that `flatten` of the prelude made."""
        kind, vector, extra = flat[0][0], flat[1], flat[2]
        data: Any = None
        if kind == "list":
            data = [self.from_r(item) for item in vector]
        elif kind == "character":
            data = [item if isinstance(item, str) else None for item in vector]
        elif kind != "NULL":
            data = bytes(vector.memoryview()) if len(vector) else b""
        attributes = {}
        if len(extra):
            attributes = {k: self.from_r(v) for k, v in zip(extra.names, extra, strict=True)}
        return kind, data, attributes

    def versions(self) -> Any:
        """Return the versions of R and its packages, as `from_r` does."""
        return self.from_r(self.prelude["versions"]())

    def call(
        self, connection: Connection, paths: Sequence[str], name: str, arguments: Any, seed: Any
    ) -> tuple[Any, ...]:
        """Call an R function of the scripts at `paths`; return ("result", …) or ("error", …)."""

        def note(kind: Any, text: Any) -> Any:
            connection.send(((kind[0], text[0]), None))
            return self.ri.NULL

        digest = hashlib.sha256()
        for path in paths:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        started = time.perf_counter()
        answer = self.prelude["run"](
            self.ri.StrSexpVector(paths),
            digest.hexdigest() + "\n".join(paths),
            name,
            self.to_r(arguments),
            self.to_r(seed),
            self.ri.rternalize(note),
        )
        elapsed = time.perf_counter() - started
        if answer[0][0]:
            kinds = tuple(answer[2])
            return "result", self.from_r(answer[1]), self.output.take(), elapsed, kinds
        self.output.take()
        package = answer[3][0]
        return "error", answer[1][0], answer[2][0], package or None


def main(connection: Connection) -> None:
    """Start R, and answer calls until the connection closes."""

    def load() -> tuple[Callable[[Any], Any], Any]:
        r = EmbeddedR()
        return lambda request: r.call(connection, *request), r.versions()

    serve(connection, load, _describe)


def _describe(error: Exception) -> tuple[str, str]:
    traceback.print_exc()
    return type(error).__name__, str(error)
