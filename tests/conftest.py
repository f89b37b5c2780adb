"""What every test shares. Fixtures of one area live beside its tests."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.skips"]

HERE = Path(__file__).parent

# A busy machine is no finding: what takes too long is stopped by pytest's own time limit.
settings.register_profile("bridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bridge")

FIRST = ("chaos", "crash_points", "settling", "two_processes", "webhook_watch", "outbound_words", "alerts")
"""Scenarios that take longest: begun first, so that nothing is waited for alone in the end."""

REPEATS = {
    "decisions", "deliveries", "delivery_machine", "jobs_effort", "jollor_models", "last_look",
    "outbound_changes", "outbound_lines", "pacing", "poison", "queue_machine", "readback", "sender",
}  # fmt: skip
"""What takes half of the time of all measured tests and walks lines that others walk, too (all but 2 %)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what teaches branch coverage next to nothing.

    Services of their own, the sandbox, PostgreSQL once more, and what repeats others with a lot of work.
    """
    for item in items:
        place = item.path.relative_to(HERE)
        is_apart = place.parts[0] in ("scenario", "meta") or place.name.startswith("test_sandbox_")
        is_apart = is_apart or item.path.stem.removeprefix("test_") in REPEATS
        if is_apart or item.get_closest_marker("postgres") is not None:
            item.add_marker("unmeasured")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, str]:
    """Files take turns whatever their kind: those that wait leave the processors to those that compute.

    Each worker begins with a share of this order and takes from the others' ends when it has done its own.
    """
    name = item.path.stem.removeprefix("test_")
    return (0 if name in FIRST else 1), hashlib.sha256(str(item.path.relative_to(HERE)).encode()).hexdigest()
