"""Results as figures and as tables."""
