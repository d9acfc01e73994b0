"""The network switched on, as far as this machine itself."""

import pytest


@pytest.fixture
def online(monkeypatch):
    """A fixture for tests that ask a server of their own."""
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
