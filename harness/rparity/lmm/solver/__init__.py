"""The criterion for each structure of random effects, and the search for its minimum."""
