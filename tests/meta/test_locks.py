"""The lock files name exact files by hash, the same set everywhere, and no place to take them from."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
A_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
A_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def pins(lock: str) -> dict[str, set[str]]:
    """Return the versions of each package in requirements/`lock`; there may be one per Python version."""
    found: dict[str, set[str]] = {}
    for name, version in A_PIN.findall((ROOT / "requirements" / lock).read_text()):
        found.setdefault(name, set()).add(version)
    return found


def declared(*groups: str) -> set[str]:
    """Return the normalised names that pyproject.toml asks for: the dependencies, or those of `groups`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [r for group in groups for r in project["dependency-groups"][group] if isinstance(r, str)]
    names = [A_NAME.match(requirement) for requirement in wanted or project["project"]["dependencies"]]
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_host_and_no_place(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--\S*(index|links|host)\S*)\b", text, re.MULTILINE)
    assert " @ " not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_in_a_lock_has_a_hash(lock: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_hold_everything_that_the_project_asks_for() -> None:
    assert declared() - pins("run.txt").keys() == set()
    assert declared("dev", "build") - pins("dev.txt").keys() == set()
    assert declared("build") - pins("build.txt").keys() == set()


def test_what_is_tested_is_what_is_shipped() -> None:
    tested = pins("dev.txt")
    for lock in ("run.txt", "build.txt"):
        assert {name: tested.get(name) for name in pins(lock)} == pins(lock)
