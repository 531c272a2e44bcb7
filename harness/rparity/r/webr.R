# What webR does for one request of `webr.py`: the value is a function of the prelude's environment.
# It reads a request that R's serialize() could have written, and writes the answer likewise.
function(prelude) {
  read <- file("/tmp/rparity-request", "rb")
  request <- unserialize(read)
  close(read)
  notes <- list()
  note <- function(kind, text) notes[[length(notes) + 1]] <<- c(kind, text)
  answer <- switch(request[[1]],
    versions = prelude$versions(),
    preload = prelude$preload(request[[2]]),
    call = do.call(prelude$run, c(request[-1], note)))
  written <- file("/tmp/rparity-answer", "wb")
  serialize(list(answer, notes), written, xdr = FALSE, version = 2)
  close(written)
}
