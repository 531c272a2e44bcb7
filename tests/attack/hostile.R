# Functions that do what none should, for test_hostile_r.py. Each is called in an R that others used.

echo <- function(x) x
# Looked at by functions of base, whatever stands in their place in the global environment.
usual <- function() base::list(
  digits = base::getOption("digits"), contrasts = base::unname(base::getOption("contrasts")),
  warn = base::getOption("warn"), kinds = base::RNGkind(), folder_is_there = base::file.exists(base::getwd()),
  sinks = base::sink.number(), printed = base::format(1.5), language = base::Sys.getenv("LANGUAGE"),
  zone = base::Sys.getenv("TZ"))

# It ends, or does not ---------------------------------------------------------------------------

quits <- function() quit(status = 0)
quits_3 <- function() q("no", 3, FALSE)
quits_later <- function() { on.exit(quit(status = 4)); 1 }
segv <- function() tools::pskill(Sys.getpid(), 11)
killed <- function() tools::pskill(Sys.getpid(), 9)
aborts <- function() tools::pskill(Sys.getpid(), 6)
terminated <- function() tools::pskill(Sys.getpid(), 15)
hangs <- function() Sys.sleep(600)
spins <- function() repeat NULL
spins_deaf <- function() repeat tryCatch(Sys.sleep(600), interrupt = function(...) NULL)
stops_itself <- function() { tools::pskill(Sys.getpid(), 19); Sys.sleep(600) }
hangs_on_exit <- function() { on.exit(repeat NULL); stop("never heard") }
closes_all <- function() { for (fd in 3:64) system2("true"); closeAllConnections(); 1 }
leaves_grandchild <- function() { system("sleep 619", wait = FALSE); quit(status = 5) }

# It raises --------------------------------------------------------------------------------------

stops <- function() stop("no good")
stops_empty <- function() stop()
stops_many <- function() stop(c("a", "b"), "c")
stops_escapes <- function() stop("\033[2J\033]0;title\007[bold]x[/nothing]")
stops_megabytes <- function() stop(strrep("x", 5e6))
stops_bytes <- function() stop(rawToChar(as.raw(c(0xff, 0xfe))))
stops_condition <- function() stop(structure(class = c("odd", "error", "condition"), list(message = "odd", call = NULL)))
stops_without_message <- function() stop(structure(class = c("odd", "error", "condition"), list()))
stops_list_message <- function() stop(structure(class = c("odd", "error", "condition"), list(message = list(1, "a"), call = NULL)))
stops_numbers <- function() stop(structure(class = c("error", "condition"), list(message = 1:3, call = quote(f()))))
stops_class_raises <- function() {
  registerS3method("conditionMessage", "traitor", function(c) stop("again"), envir = baseenv())
  stop(structure(class = c("traitor", "error", "condition"), list(message = "x", call = NULL)))
}
interrupts <- function() { tools::pskill(Sys.getpid(), 2); Sys.sleep(0.2); 1 }
invokes_restart <- function() invokeRestart("abort")
invokes_muffle <- function() invokeRestart("muffleWarning")
recurses <- function() recurses()
recurses_deep <- function() { options(expressions = 5e5); f <- function(n) f(n + 1); f(1) }
too_much <- function() numeric(2^45)
too_long <- function() character(2^52)
no_package <- function() library(aPackageThatNobodyHas)
no_object <- function() nothingOfThatName
browses <- function() browser()
reads_stdin <- function() readLines(file("stdin"), 1)
asks <- function() readline("Well? ")
scans <- function() scan(file = "", quiet = TRUE, nlines = 1)
menus <- function() menu(c("a", "b"))
parses <- function() parse(text = "1 +")
try_error <- function() try(stop("silently"), silent = TRUE)
warns_into_error <- function() { options(warn = 2); warning("now an error") }

# It talks ---------------------------------------------------------------------------------------

prints_megabytes <- function() { cat(strrep("x", 5e6)); 1 }
errs_megabytes <- function() { cat(strrep("y", 5e6), file = stderr()); 1 }
writes_fd <- function() { system("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"); 1 }
messages_thousand <- function() { for (i in 1:1000) message(i); 1 }
warns_thousand <- function() { for (i in 1:1000) warning(i); 1 }
warns_escapes <- function() { warning("\033[31mred\007"); message("\r\b\b[link=x]"); 1 }
warns_odd <- function() { warning(structure(class = c("warning", "condition"), list(message = NULL, call = NULL))); 1 }
warns_once_raised <- function() { warning(structure(class = c("traitor", "warning", "condition"), list(message = "x"))); 1 }
prints_bytes <- function() { cat(rawToChar(as.raw(c(0xff, 0xfe)))); 1 }
prints_nul_like <- function() { writeBin(as.raw(0:31), stdout()); 1 }

# It changes what it should not ------------------------------------------------------------------

changes_options <- function() { options(digits = 3, warn = 2, OutDec = ",", scipen = 100, contrasts = c("contr.sum", "contr.sum"), stringsAsFactors = TRUE); 1 }
empties_options <- function() { options(digits = 22, width = 10, encoding = "latin1", warning.length = 100, error = quote(quit(status = 9))); 1 }
changes_locale <- function() { Sys.setlocale("LC_ALL", "C"); 1 }
changes_folder <- function() { setwd("/"); 1 }
removes_folder <- function() { d <- tempfile(); dir.create(d); setwd(d); unlink(d, recursive = TRUE); 1 }
changes_rng <- function() { RNGkind("Wichmann-Hill", "Box-Muller", "Rounding"); 1 }
spoils_seed <- function() { assign(".Random.seed", "none", envir = globalenv()); 1 }
changes_env <- function() { Sys.setenv(LANGUAGE = "de", TZ = "Asia/Tokyo", R_LIBS = "/nowhere"); 1 }
sinks <- function() { for (i in 1:5) sink(tempfile()); 1 }
sinks_messages <- function() { con <- file(tempfile(), "w"); sink(con, type = "message"); 1 }
masks_base <- function() { for (f in c("options", "setwd", "RNGkind", "sum", "paste", "list", "c", "stop", "structure", "lapply")) assign(f, function(...) "masked", envir = globalenv()); 1 }
masks_base_itself <- function() {
  for (f in c("sink.number", "attributes", "typeof")) {
    unlockBinding(f, baseenv()); assign(f, function(...) stop("masked"), envir = baseenv())
  }
  1
}
masks_operator <- function() { assign("+", function(...) stop("plus"), envir = globalenv()); assign("{", function(...) 0, envir = globalenv()); 1 }
closes_connections <- function() { closeAllConnections(); 1 }
closes_stdout <- function() { sink(); close(stdout()); 1 }
handlers <- function() { globalCallingHandlers(warning = function(w) quit(status = 8)); 1 }
task_callback <- function() { addTaskCallback(function(...) quit(status = 7)); 1 }
finalizers <- function() { reg.finalizer(new.env(), function(e) quit(status = 6)); gc(); 1 }
attaches <- function() { attach(list(x = 99, echo = function(x) "attached"), name = "evil"); 1 }
detaches <- function() { detach("package:stats", character.only = TRUE); 1 }
traces <- function() { suppressMessages(trace("sum", quote(stop("traced")), print = FALSE, where = baseenv())); 1 }
removes_all <- function() { rm(list = ls(globalenv()), envir = globalenv()); rm(list = "echo", envir = parent.env(environment())); 1 }
device <- function() { grDevices::pdf(tempfile()); plot(1); 1 }
debugs <- function() { debug(usual); 1 }
gc_torture <- function() { gctorture(TRUE); on.exit(gctorture(FALSE)); sum(1:3) * 1.0 }

# It is several ----------------------------------------------------------------------------------

forks <- function() { job <- parallel::mcparallel(42); parallel::mccollect(job)[[1]] }
forks_and_leaves <- function() { parallel::mcparallel(Sys.sleep(600)); 1 }
forks_child_answers <- function() { parallel::mclapply(1:2, function(i) quit(status = i)); 1 }
system_kills <- function() { system(sprintf("kill -9 %d", Sys.getpid())); Sys.sleep(5) }

# It returns -------------------------------------------------------------------------------------

returns_function <- function() function(x) x
returns_primitive <- function() sum
returns_environment <- function() globalenv()
returns_pointer <- function() methods::new("externalptr")
returns_s4 <- function() { methods::setClass("Thing", methods::representation(x = "numeric")); methods::new("Thing", x = 1) }
returns_r5 <- function() methods::setRefClass("Account", fields = list(x = "numeric"))$new(x = 1)
returns_null <- function() NULL
returns_invisible <- function() invisible(7)
returns_promise <- function() { delayedAssign("late", stop("late")); list(a = environment()) }
returns_promise_forced <- function() { f <- function(x) list(a = x); f(stop("late")) }
returns_altrep <- function() 1:1e6
returns_altrep_string <- function() as.character(1:1e5)
returns_expression <- function() expression(a + b)
returns_call <- function() quote(f(x))
returns_symbol <- function() as.name("x")
returns_missing <- function() quote(expr = )
returns_dots <- function(...) environment()
returns_bytecode <- function() compiler::compile(quote(1 + 1))
returns_weakref <- function() list(a = tools:::.__NAMESPACE__.)
returns_raw <- function() as.raw(0:3)
returns_complex <- function() complex(real = 1, imaginary = NaN)
returns_connection <- function() file(tempfile(), "w")
returns_fit <- function() lm(dist ~ speed, cars)
returns_table <- function() table(cars$speed)
returns_ts <- function() ts(1:3, start = 2000)
returns_posix <- function() as.POSIXct(0, origin = "1970-01-01", tz = "UTC")
returns_difftime <- function() as.difftime(1, units = "mins")
returns_nan_payload <- function() readBin(as.raw(c(1, 2, 3, 4, 5, 6, 0xf8, 0x7f)), "double")
returns_factor_beyond <- function() structure(c(1L, 99L), levels = "a", class = "factor")
returns_factor_negative <- function() structure(-1L, levels = "a", class = "factor")
returns_factor_without_levels <- function() structure(1L, class = "factor")
returns_date_of_text <- function() structure("today", class = "Date")
returns_date_far <- function() structure(1e10, class = "Date")
returns_names_twice <- function() list(a = 1, a = 2)
returns_names_empty <- function() list(a = 1, 2)
returns_names_escapes <- function() list("\033[2J[bold]" = 1)
returns_names_bytes <- function() structure(list(1), names = rawToChar(as.raw(0xff)))
returns_deep <- function() { x <- 1; for (i in 1:2000) x <- list(a = x); x }
returns_wide <- function() stats::setNames(as.list(1:5000), paste0("n", 1:5000))
returns_frame_uneven <- function() structure(list(a = 1:2, b = 1:3), class = "data.frame", row.names = 1:2)
returns_frame_of_lists <- function() { d <- data.frame(a = 1:2); d$b <- list(1, 2); d }
returns_frame_of_frames <- function() { d <- data.frame(a = 1:2); d$b <- d; d }
returns_frame_of_functions <- function() structure(list(a = sum), class = "data.frame", row.names = 1L)
returns_frame_rows_lie <- function() structure(list(a = 1:2), class = "data.frame", row.names = c(NA, -99L))
returns_class_lies <- function() structure(1:3, class = c("data.frame"))
returns_dim_of_frame <- function() structure(list(1, 2), dim = c(1L, 2L), class = "data.frame")
returns_attributes <- function() structure(1:3, names = c("a", "b", "c"), more = globalenv())
returns_class_of_text <- function() structure(1, class = "\033[2J")
returns_string_megabytes <- function() strrep("x", 5e6)
returns_escapes <- function() "\033[2J\a"
returns_bytes <- function() { x <- "\xff"; Encoding(x) <- "bytes"; x }
