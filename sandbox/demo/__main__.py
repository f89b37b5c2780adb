"""`python -m sandbox.demo`: the demo without the bridge's own command line."""

import argparse
import sys

from sandbox.demo.run import main


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8080, help="where the page is; 0 takes a free port")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in the browser")
    parser.add_argument("--socket-mode", action="store_true", help="Slack reaches the bridge by WebSocket")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    sys.exit(main(given.port, not given.no_browser, socket_mode=given.socket_mode))
