"""The demo: the real bridge between a simulated Jollor and a simulated Slack, played in the browser.

`main` is what `jollor-slack demo` and `python -m sandbox.demo` call.
"""

from sandbox.demo.run import main

__all__ = ["main"]
