"""Scores of maps and models against a reference, beside those of simpler methods."""
