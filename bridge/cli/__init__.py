"""The command line, `jollor-slack` or `python -m bridge`: the outermost ring, over `bridge.app`.

Answers go to stdout, what went wrong to stderr, in one sentence and without a traceback. Exit codes: 0 done,
1 failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from bridge.cli import backfill, doctor, jobs, links, running, setup
from bridge.errors import BridgeError
from bridge.settings import SettingsError

log = logging.getLogger(__name__)

FAILED = 1
WRONG_USAGE = 2

app = typer.Typer(
    name="jollor-slack",
    help="Answer your social-media inbox (Jollor) from Slack.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for group in (running.app, doctor.app, links.app, jobs.app, backfill.app, setup.app):
    app.add_typer(group)


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Answer your social-media inbox (Jollor) from Slack."""


def version_of_package() -> str:
    """Return the installed version; a checkout that was never installed has none."""
    try:
        return metadata.version("jollor-slack")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; what goes wrong is said on stderr."""
    if list(arguments) == ["--version"]:
        print(f"jollor-slack {version_of_package()}")
        return 0
    try:
        result = app(args=list(arguments), prog_name="jollor-slack", standalone_mode=False)
    except SettingsError as error:
        return _failed(error.problems, WRONG_USAGE)
    except Exception as error:  # noqa: BLE001 - the outermost ring: whatever it is, people get a sentence
        return _explained(error)
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Run the command of this process's arguments and exit."""
    sys.exit(run(sys.argv[1:]))


def _explained(error: Exception) -> int:
    usage = getattr(error, "format_message", None)  # what Typer raises for wrong usage
    if usage is not None:
        context = getattr(error, "ctx", None)
        advice = "" if context is None else f" See {context.command_path} --help."
        return _failed([usage() if _is_help(usage()) else _sentence(usage()) + advice], WRONG_USAGE)
    if isinstance(error, ExceptionGroup):
        return _explained(error.exceptions[0])
    if isinstance(error, BridgeError):
        return _failed([error.user_message], FAILED)
    log.debug("cli.broke", exc_info=error)
    what = (
        error.strerror
        if isinstance(error, OSError) and error.strerror
        else f"{type(error).__name__}: {error}"
    )
    return _failed([f"That failed: {_sentence(what)}"], FAILED)


def _is_help(text: str) -> bool:
    """A group without its command answers with its help, not with an error."""
    return text.startswith("Usage:")


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."


def _failed(sentences: Sequence[str], code: int) -> int:
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    return code
