import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOTH_DATABASES = """
import pytest

@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_store(database): ...
"""
A_SKIP = """
@pytest.mark.skip(reason="no Chromium")
def test_page(): ...
"""


def run(folder: Path, source: str, *, no_skips: bool, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run `source` as a test file with tests/skips.py as its only plugin; return (exit status, output)."""
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["NO_SKIPS"] = "1" if no_skips else ""
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50)
    return done.returncode, done.stdout


def test_a_skip_is_reported_with_its_reason_and_fails_nothing(tmp_path: Path) -> None:
    status, output = run(tmp_path, BOTH_DATABASES + A_SKIP, no_skips=False)
    assert status == 0
    assert "1 tests skipped" in output
    assert "1 × no Chromium" in output


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "2")], ids=["one process", "xdist"])
def test_in_ci_a_skip_fails_the_run(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    status, output = run(tmp_path, BOTH_DATABASES + A_SKIP, no_skips=True, arguments=arguments)
    assert status == 1
    assert "NO_SKIPS: 1 tests were skipped" in output


def test_in_ci_an_expected_failure_fails_the_run(tmp_path: Path) -> None:
    source = BOTH_DATABASES + "\n@pytest.mark.xfail\ndef test_later(): assert False\n"
    assert run(tmp_path, source, no_skips=True)[0] == 1


@pytest.mark.parametrize("missing", ["sqlite", "postgres"])
def test_in_ci_a_database_that_was_not_tried_fails_the_run(tmp_path: Path, missing: str) -> None:
    status, output = run(tmp_path, BOTH_DATABASES.replace(f'"{missing}"', '"none"'), no_skips=True)
    assert status == 1
    assert f"NO_SKIPS: no test ran on {missing}" in output


def test_in_ci_a_complete_run_passes(tmp_path: Path) -> None:
    assert run(tmp_path, BOTH_DATABASES, no_skips=True)[0] == 0
