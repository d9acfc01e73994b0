"""Scores of maps and models against a reference."""
