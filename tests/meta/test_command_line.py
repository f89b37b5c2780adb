"""The page of operations names every command with its options, and no other; metrics and routes likewise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from bridge import cli, health

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
TABLE = PAGE.partition("## Commands")[2].partition("`python -m bridge`")[0]
ROWS = {
    re.match(r"[a-z -]+[a-z]", words)[0]: set(re.findall(r"`(--[a-z-]+)`", does))  # type: ignore[index]
    for words, does in re.findall(r"^\| `([^`]+)` \| (.+) \|$", TABLE, re.MULTILINE)
}


def commands() -> dict[str, set[str]]:
    """Return the options of each command by its name ("jobs list")."""
    found: dict[str, set[str]] = {}

    def walk(name: str, command: object) -> None:
        children = getattr(command, "commands", None)
        if children is not None:
            for child, one in children.items():
                walk(f"{name} {child}".strip(), one)
            return
        parameters = getattr(command, "params", [])
        names = {option for parameter in parameters for option in parameter.opts}
        found[name] = {option for option in names if option.startswith("--")} - {"--help"}

    walk("", get_command(cli.app))
    return found


def test_the_page_names_every_command_with_its_options_and_no_other() -> None:
    assert commands() == ROWS


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: jollor-slack {name}")
    assert len(out.splitlines()) > 3


def test_commands_that_list_speak_json() -> None:
    speak = {name for name, options in commands().items() if "--json" in options}
    assert speak == {"doctor", "projects", "links", "jobs list", "jobs show"}


def test_metrics_on_the_page_are_those_that_exist() -> None:
    source = Path(health.__file__).read_text()
    exist = set(re.findall(r'"(bridge_[a-z_]+)"', source))
    table = PAGE.partition("Read from the database")[2].partition("Counted by each process")[0]
    assert set(re.findall(r"`(bridge_[a-z_]+)", table)) == exist
