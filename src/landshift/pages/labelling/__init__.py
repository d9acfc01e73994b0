"""Pages for people, served on this machine alone; they show and ask, and never compute.

No framework: http.server, and pages without anything from elsewhere.
"""
