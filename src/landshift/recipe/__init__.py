"""A whole job in one file: its stages in order, what is done already, what has changed since.

A recipe names commands and their options; the options are read off the commands. `run` runs the
stages that aren't done, `init` writes a first recipe.
"""
