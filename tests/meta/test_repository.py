"""What stands in tracked files holds for everybody, not for the machine that they were written on."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written in two parts, so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.-])/(?:ro" r"ot|wo" r"rk|ho" r"me|Us" r"ers|opt/py" r"pi)/\w")
REGISTRIES = re.compile(r"py" r"pi\.org|files\.python" r"hosted|registry\.npm" r"js|npm" r"mirror")
DOCS = ["README.md", "CONTRIBUTING.md"]


def tracked_texts() -> dict[str, str]:
    """Return path → text of every tracked file that is text and still there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    raw = {str(path.relative_to(ROOT)): path.read_bytes() for path in paths if path.is_file()}
    return {name: data.decode() for name, data in raw.items() if b"\0" not in data}


@pytest.mark.parametrize("forbidden", [MACHINE_PATHS, REGISTRIES], ids=["machine paths", "registry hosts"])
def test_no_tracked_file_speaks_of_a_place_that_others_do_not_have(forbidden: re.Pattern[str]) -> None:
    found = {name: match[0] for name, text in tracked_texts().items() if (match := forbidden.search(text))}
    assert found == {}


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in DOCS:
        named = set(re.findall(r"(?:`|^|\$ )make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
        assert named - targets == set(), name
        assert named, f"{name} names no make target"


def test_every_relative_link_in_the_docs_leads_somewhere() -> None:
    broken = {
        f"{name}: {target}"
        for name, text in tracked_texts().items()
        if name.endswith(".md")
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
        if not (ROOT / name).parent.joinpath(target).exists()
    }
    assert broken == set()


def test_ci_runs_what_make_check_runs() -> None:
    assert "make --no-print-directory check" in (ROOT / ".ci" / "run").read_text()
