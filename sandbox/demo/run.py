"""Starts the demo, tells where it is, and stops everything again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import webbrowser

from sandbox.demo.bridge_process import BridgeFailed
from sandbox.demo.scene import NotLinked
from sandbox.demo.site import Site
from sandbox.demo.stage import Stage

HOST = "127.0.0.1"


def main(port: int = 8080, open_browser: bool = True, *, socket_mode: bool = False) -> int:
    """Run the bridge against a simulated Jollor and a simulated Slack, with a page to play both; no account.

    Returns the exit code once it was stopped (Ctrl-C or SIGTERM). `port` 0 takes a free one.
    """
    try:
        listening = _reserved(port)
    except OSError as error:
        print(_why_not(port, error), file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(listening, open_browser=open_browser, socket_mode=socket_mode))
    except (BridgeFailed, NotLinked) as error:
        print(f"The demo could not be set up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the signal handlers were in place
        return 0


async def _run(listening: socket.socket, *, open_browser: bool, socket_mode: bool) -> int:
    stopping = _stop_signals()
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    print("Starting the simulated Jollor, the simulated Slack and the bridge …", flush=True)
    async with Stage(page_url=address, socket_mode=socket_mode) as stage:
        ready = asyncio.ensure_future(stage.set_up())
        await asyncio.wait({ready, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            return 0
        await ready
        async with Site(stage, listening):
            _introduce(address)
            if open_browser and _has_screen():
                await asyncio.to_thread(_open, address)
            await stopping
            print("\nStopping …", flush=True)
    return 0


def _introduce(address: str) -> None:
    print(f"The demo is at {address} (Ctrl-C stops it)")
    print(
        "Try: write a message as a customer on the left, answer it in the thread, see it arrive.", flush=True
    )


def _open(address: str) -> None:
    with contextlib.suppress(webbrowser.Error):  # no browser here: the address was printed
        webbrowser.open(address)


def _has_screen() -> bool:
    """False where only a browser of the terminal could open, which would take the terminal over."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _stop_signals() -> asyncio.Future[None]:
    """A future that is done once somebody wants the demo to stop."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopping.done():
            stopping.set_result(None)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    return stopping


def _reserved(port: int) -> socket.socket:
    """A socket that listens on `port`; OSError if somebody else has it."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        raise error if isinstance(error, OSError) else OSError(errno.EINVAL, "no such port") from error
    bound.setblocking(False)
    return bound


def _why_not(port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} is taken by another program. Choose another one, for example --port {port + 1}."
            )
        case errno.EACCES:
            return f"Port {port} needs more rights than this program has. Choose one above 1023 with --port."
        case _:
            return f"The page cannot be served on port {port}: {error.strerror}. Choose another with --port."
