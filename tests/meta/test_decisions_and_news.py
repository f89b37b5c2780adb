"""Decision records and news fragments have the form that CONTRIBUTING.md describes."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = sorted(path for path in (ROOT / "docs" / "adr").glob("*.md") if path.name != "README.md")
SECTIONS = ["Context", "Decision", "Consequences", "What would change our mind"]


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name.partition("-")[0]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_a_status_and_four_sections(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {int(path.name.partition('-')[0])}. ")
    assert re.search(r"^Status: (accepted|replaced by \d{4}), \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


def test_the_table_of_decisions_is_complete() -> None:
    table = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", table) == [path.name for path in DECISIONS]


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *groups["build"], *groups["dev"]]
    names = {re.split(r"[<>=~!; ]", wish)[0] for wish in wanted if isinstance(wish, str)}
    page = (ROOT / "docs" / "adr" / "0004-dependencies.md").read_text()
    cells = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    assert names - {name for cell in cells for name in cell.split(", ")} == set()


def test_news_fragments_are_named_after_an_issue_and_a_kind() -> None:
    kinds = {
        kind["directory"]
        for kind in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
    }
    named = re.compile(rf"\d+\.({'|'.join(kinds)})(\.\d+)?\.md")
    strays = [path.name for path in (ROOT / "changelog.d").iterdir() if not named.fullmatch(path.name)]
    assert strays == ["README.md"]


def test_news_fragments_say_something() -> None:
    for path in (ROOT / "changelog.d").glob("*.md"):
        assert path.read_text().strip(), path.name
