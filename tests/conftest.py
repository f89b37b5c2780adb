"""What every test shares. Fixtures of one area live beside its tests."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.skips"]

# A busy machine is no finding: what takes too long is stopped by pytest's own time limit.
settings.register_profile("bridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bridge")
