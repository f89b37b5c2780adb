"""What every test shares. Fixtures of one area live beside its tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.skips"]

HERE = Path(__file__).parent

# A busy machine is no finding: what takes too long is stopped by pytest's own time limit.
settings.register_profile("bridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bridge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what teaches branch coverage nothing: services of their own, the sandbox, PostgreSQL once more."""
    for item in items:
        place = item.path.relative_to(HERE)
        is_apart = place.parts[0] in ("scenario", "meta") or place.name.startswith("test_sandbox_")
        if is_apart or item.get_closest_marker("postgres") is not None:
            item.add_marker("unmeasured")
