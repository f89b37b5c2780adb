"""docs/settings.md names every setting there is, with its default, and no other."""

import re
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from bridge.settings import SECTIONS, variables

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
ROWS = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?) \|", PAGE, re.MULTILINE))
NO_DEFAULT = "–"


def default_in_words(default: object) -> str:
    """Return a default as the page writes it."""
    match default:
        case SecretStr():
            return f"`{default.get_secret_value()}`"
        case float():
            return f"`{default:g}`"
        case _ if default is PydanticUndefined or default is None:
            return NO_DEFAULT
        case ():
            return "made on the first start"
        case _:
            return f"`{default}`"


def test_the_page_lists_exactly_the_settings_that_exist() -> None:
    assert set(ROWS) == {name for section in SECTIONS for name in variables(section)}


def test_the_page_tells_the_defaults() -> None:
    defaults = {
        f"{section.model_config['env_prefix']}{name}".upper(): default_in_words(info.default)
        for section in SECTIONS
        for name, info in section.model_fields.items()
    }
    assert defaults == ROWS


def test_the_example_uses_settings_that_exist() -> None:
    example = PAGE.partition("```sh")[2].partition("```")[0]
    used = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert used
    assert used - set(ROWS) == set()
