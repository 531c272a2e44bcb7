"""R run in a process of its own, and how values cross."""

# RPARITY_R=webr chooses webR in place of the R that is installed.
CHOICE, WEBR = "RPARITY_R", "webr"
