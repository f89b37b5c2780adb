"""Skipped tests are said loudly, and with NO_SKIPS=1 (CI) they fail the run.

The same switch fails a run in which one of the databases was not tried: a suite that is parametrised over
both proves nothing about the one that quietly fell out of the list. NO_SKIPS=sqlite asks for that one alone.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

DATABASES = ("sqlite", "postgres")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter is not None and any(complaints(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reasons = Counter(reason_of(report) for report in not_run(terminalreporter))
    if reasons:
        terminalreporter.section(f"{reasons.total()} tests skipped", yellow=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} × {reason}", yellow=True)
    for complaint in complaints(terminalreporter):
        terminalreporter.line(f"NO_SKIPS: {complaint}", red=True)


def complaints(reporter: TerminalReporter) -> Iterator[str]:
    """Yield why this run does not count as complete; nothing without NO_SKIPS, or in a worker of xdist."""
    wanted = os.environ.get("NO_SKIPS")
    if not wanted or hasattr(reporter.config, "workerinput"):
        return
    if skipped := not_run(reporter):
        yield f"{len(skipped)} tests were skipped"
    parameters = [report.nodeid.partition("[")[2] for report in reporter.stats.get("passed", [])]
    for database in DATABASES:
        is_wanted = wanted not in DATABASES or wanted == database
        if is_wanted and not any(database in parameter for parameter in parameters):
            yield f"no test ran on {database}"


def not_run(reporter: TerminalReporter) -> list[pytest.TestReport]:
    """Return what was skipped and what was expected to fail."""
    return [*reporter.stats.get("skipped", []), *reporter.stats.get("xfailed", [])]


def reason_of(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return f"expected to fail: {getattr(report, 'wasxfail', '') or report.nodeid}"
