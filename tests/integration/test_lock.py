"""One serve or worker per SQLite file, across real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.store.lock import AlreadyRunning, held, lock_path

HOLDER = """
import sys, time
from pathlib import Path
from bridge.store.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(database: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def stop(holder: subprocess.Popen[str], how: signal.Signals) -> None:
    holder.send_signal(how)
    holder.communicate(timeout=10)


def test_a_second_process_is_refused_with_a_sentence_that_names_the_first(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "bridge.db")
    try:
        with pytest.raises(AlreadyRunning) as caught, held(tmp_path / "bridge.db"):
            pass
    finally:
        stop(holder, signal.SIGTERM)
    assert f"(process {holder.pid}) already runs on {tmp_path / 'bridge.db'}" in caught.value.user_message


def test_a_process_killed_with_sigkill_leaves_the_file_free(tmp_path: Path) -> None:
    stop(start_holder(tmp_path / "bridge.db"), signal.SIGKILL)
    with held(tmp_path / "bridge.db"):
        assert lock_path(tmp_path / "bridge.db").read_text() == f"{os.getpid()}\n"


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    with held(tmp_path / "bridge.db"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with held(tmp_path / "bridge.db"):
            pass
    finally:
        child.communicate(b"\n", timeout=10)


def test_the_lock_is_given_back_when_the_work_breaks(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "bridge.db"):
        _ = 1 / 0
    with held(tmp_path / "bridge.db"):
        pass


def test_other_files_are_other_locks(tmp_path: Path) -> None:
    with held(tmp_path / "one.db"), held(tmp_path / "two.db"):
        assert lock_path(tmp_path / "one.db") != lock_path(tmp_path / "two.db")


def test_the_folder_is_made_if_it_is_not_there(tmp_path: Path) -> None:
    with held(tmp_path / "data" / "bridge.db"):
        assert lock_path(tmp_path / "data" / "bridge.db").exists()
