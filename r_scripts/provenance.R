# What produced an answer: R, its libraries, its settings and its packages.
#
# By hand: Rscript provenance.R [PACKAGE ...]

# provenance(c("lme4")): a named list of strings and character vectors. Packages that are named
# but not installed have the version NA; packages that the named ones have loaded are listed too.
provenance <- function(packages = character()) {
  packages <- as.character(unlist(packages))
  for (package in packages) requireNamespace(package, quietly = TRUE)
  software <- extSoftVersion()
  kinds <- RNGkind()
  list(
    r_version = R.version.string,
    platform = R.version$platform,
    os = paste(Sys.info()[c("sysname", "machine")], collapse = " "),
    # Base names only: where a library lies says nothing about what it computes.
    blas = basename(software[["BLAS"]]),
    lapack = basename(La_library()),
    lapack_version = La_version(),
    rng_kind = c(kind = kinds[1], normal_kind = kinds[2], sample_kind = kinds[3]),
    contrasts = c(unordered = options("contrasts")$contrasts[[1]],
                  ordered = options("contrasts")$contrasts[[2]]),
    locale = Sys.getlocale("LC_COLLATE"),
    encoding = Sys.getlocale("LC_CTYPE"),
    packages = package_versions(packages)
  )
}

# Named character vector: R, the packages, and whatever is loaded by now that is not part of R.
package_versions <- function(packages) {
  field <- function(package, name) {
    as.character(suppressWarnings(utils::packageDescription(package, fields = name)))
  }
  is_own <- function(package) identical(field(package, "Priority"), "base")
  loaded <- loadedNamespaces()
  names <- unique(c(packages, loaded[!vapply(loaded, is_own, NA)]))
  names <- sort(names, method = "radix")
  c(R = as.character(getRversion()), vapply(names, field, "", name = "Version"))
}

if (sys.nframe() == 0L) {
  packages <- commandArgs(trailingOnly = TRUE)
  str(provenance(if (length(packages)) packages else "lme4"), vec.len = 20)
}
