"""Scores from a confusion matrix, and the calibration of probabilities; without torch."""
