"""Scores, from counts alone: no torch."""
