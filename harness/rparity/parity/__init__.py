"""The fixture `r_parity`: tests call R functions; the answers are recorded beside the tests."""

# How a call is answered: by its recording; by R; by R, which is then recorded; by both.
MODES = ("replay", "live", "record", "check")
# Folder of the recordings, beside the test files.
FOLDER = "r_recordings"
