"""Coverage of the document's confidence intervals, over thousands of data sets of two kinds."""
