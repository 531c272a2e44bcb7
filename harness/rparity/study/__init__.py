"""The question asked of thousands of data sets: which interval is right in which world."""
