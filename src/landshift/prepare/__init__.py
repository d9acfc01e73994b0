"""From images and class maps to a training pair."""
