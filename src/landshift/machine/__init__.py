"""The machine: cores, memory, optional packages."""
