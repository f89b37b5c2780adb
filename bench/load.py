"""A small HTTP/1.1 load generator over keep-alive connections, light enough to share two cores."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Load:
    """What one round saw. Times in seconds, sorted."""

    seconds: float
    times_s: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Answers with status 200 per second."""
        return len(self.times_s) / self.seconds

    def quantile(self, q: float) -> float:
        """Return the time within which the fraction `q` of all answers came."""
        return self.times_s[min(len(self.times_s) - 1, int(q * len(self.times_s)))]


async def post_all(url: str, body: Callable[[int], bytes], *, connections: int, seconds: float) -> Load:
    """POST over `connections` connections, one request at a time on each, for `seconds`.

    Raises `RuntimeError` at the first answer that is not 200: a fast refusal is no acknowledgement.
    """
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    numbers = itertools.count()
    times: list[float] = []
    deadline = time.perf_counter() + seconds

    async def run() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while (started := time.perf_counter()) < deadline:
                data = body(next(numbers))
                writer.write(
                    f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )
                await _answer(reader)
                times.append(time.perf_counter() - started)
        finally:
            writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(connections)))
    return Load(time.perf_counter() - begun, tuple(sorted(times)))


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    if " 200 " not in status:
        raise RuntimeError(f"answered {status}")
    length = next(int(line[15:]) for line in lines if line.lower().startswith("content-length:"))
    await reader.readexactly(length)
