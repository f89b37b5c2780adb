"""The wheel is complete: unpacked anywhere, away from the checkout, it migrates and prints manifests."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of a freshly built wheel, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(unpacked: Path, folder: Path, *arguments: str) -> str:
    """Run a command with the wheel's code alone and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE", "COV"))}
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_migrations_and_can_run_them(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bridge.db").touch()
    assert "The schema was brought to" in run(unpacked, tmp_path, "migrate")


def test_the_wheel_holds_the_manifests(unpacked: Path, tmp_path: Path) -> None:
    manifest = yaml.safe_load(run(unpacked, tmp_path, "manifest", "--socket-mode"))
    assert manifest["display_information"]["name"] == "Jollor"
    assert (unpacked / "jollor_slack_manifests" / "app.yaml").exists()


def test_the_wheel_knows_its_version(unpacked: Path, tmp_path: Path) -> None:
    assert run(unpacked, tmp_path, "--version").split()[1][0].isdigit()


def test_the_wheel_holds_no_tests_and_no_secrets(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"bridge", "slack_app", "jollor", "sandbox", "jollor_slack_manifests"}
    assert not list(unpacked.rglob(".env"))
