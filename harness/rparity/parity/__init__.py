"""The fixture `r_parity`: tests call R functions; the answers are recorded beside the tests."""

# How a call is answered: by its recording; by R; by R, which is then recorded; by both; by R, whose
# changed answers are shown at the end and recorded if the user agrees.
MODES = ("replay", "live", "record", "check", "review")
# Folder of the recordings, beside the test files.
FOLDER = "r_recordings"
