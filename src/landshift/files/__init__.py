"""Files: whole outputs, outputs taken up again, untrusted files, provenance."""
