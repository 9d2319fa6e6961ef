"""`python -m fhirmsg.sandbox --host 127.0.0.1 --port 8080 --file store.sqlite`"""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from .serving import Serving
from .store import Store


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; prints `listening on URL` once requests are taken."""
    parser = argparse.ArgumentParser(prog="fhirmsg.sandbox", description="An embedded FHIR store.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    parser.add_argument("--file", help="SQLite file to keep the store in; without: in memory")
    options = parser.parse_args(arguments)

    store = Store(options.file)
    serving = Serving(store, options.host, options.port, "/fhir")

    def end(_signal: int, _frame: FrameType | None) -> None:
        serving.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    print(f"listening on {serving.base_url}", flush=True)
    serving.run()
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
