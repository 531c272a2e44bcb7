"""R functions called from tests: asked, recorded beside the tests, and compared with Python."""

# How a call is answered: by its recording; by R; by R, and recorded; by both, and compared.
MODES = ("replay", "live", "record", "check")
# Folder of the recordings, beside the test files.
FOLDER = "r_recordings"
