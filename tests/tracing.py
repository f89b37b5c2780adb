"""Keeps branch coverage from hanging: no thread that is traced ends while tests run.

For every call in every traced thread coverage asks greenlet which greenlet runs, which gives the thread a
state of greenlet's. When the thread ends, that state is destroyed under a lock; what coverage has to do about
it asks greenlet again, which waits for that lock for ever (greenlet 3.5.6, coverage 7.17.3: a process that
spins, once in some thousand tests). So only threads that run our own code are traced, the writers of SQLite
files, and these are kept for the next store. A run without coverage is left alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from bridge.store import engine

WRITER = "store-writer"


class KeptThread:
    """One thread like an executor's, that goes on to the next who asks when it is shut down."""

    _idle: ClassVar[list[ThreadPoolExecutor]] = []

    def __init__(self, max_workers: int, thread_name_prefix: str) -> None:
        idle = KeptThread._idle
        self._thread = idle.pop() if idle else ThreadPoolExecutor(max_workers, thread_name_prefix)

    def submit(self, work: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Have `work` done after what was submitted before."""
        return self._thread.submit(work, *args)

    def shutdown(self, *, wait: bool) -> None:
        """Give the thread back; what was submitted is still done."""
        assert not wait
        KeptThread._idle.append(self._thread)


@pytest.fixture(scope="session", autouse=True)
def traced_threads_are_kept() -> Iterator[None]:
    """Trace the writers alone, and end none of them."""
    trace: Any = threading.gettrace()
    if trace is None:
        yield
        return

    def of_writers(frame: Any, event: str, arg: Any) -> Any:
        if threading.current_thread().name.startswith(WRITER):
            return trace(frame, event, arg)
        sys.settrace(None)
        return None

    threading.settrace(of_writers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ThreadPoolExecutor", KeptThread)
        yield
    threading.settrace(trace)
