"""The experiments of the diagnosis: each changes one thing and counts the digits again."""
