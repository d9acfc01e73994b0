"""A map page for the browser: images, maps and polygons of a job, read from their own files.

Python writes the page's description (`layers.json`) and serves or copies the files; the page itself
is the bundle that `web/` is built to. It draws, compares and measures in the browser.
"""
