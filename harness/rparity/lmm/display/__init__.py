"""Fits as text in R's layout, as HTML in notebooks and as plots."""
