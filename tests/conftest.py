"""What every test shares. Fixtures of one area live beside its tests."""

pytest_plugins = ["tests.skips"]
