"""Paths of the simulated Jollor."""

from urllib.parse import quote

APP_PREFIX = "/api"
AUTH_PREFIX = "/auth"
API = f"{APP_PREFIX}/public/v1"


def quoted(segment: str) -> str:
    """One path segment, percent-encoded, slashes too."""
    return quote(segment, safe="")
