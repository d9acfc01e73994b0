"""A made scene whose truth is known."""
