"""Pages that people look at, and the server that shows them."""
