"""A simulated scene with known truth."""
