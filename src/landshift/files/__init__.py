"""Files: whole and resumable outputs, untrusted files, provenance, dates, tables."""
