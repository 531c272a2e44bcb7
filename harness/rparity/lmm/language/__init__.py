"""R's language as far as formulas need it: expressions, vectors and functions."""
