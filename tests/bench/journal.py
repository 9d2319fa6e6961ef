"""How many items a second the journal keeps, each of them synced to the disk. Run by hand:

    python -m tests.bench.journal [FOLDER]      # the folder says which disk is measured

Prints the bare syncs a second of that disk beside it, which bound what one thread can reach.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Owed

KEY = b"a key for benchmarks, no secret."
ITEMS = 2000
PAYLOAD = {"provider": "example", "reference": "x" * 36, "status": "delivered", "more": "y" * 200}


def main() -> None:
    """Measure on the disk of a folder, or of the temporary ones."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        folder = Path(name)
        print(f"bare syncs: {bare_syncs(folder / 'bare'):.0f}/s")
        journal = SqliteJournal(str(folder / "journal.sqlite3"), [KEY])
        numbers = count()
        for threads in (1, 16):
            seconds = keep_by(journal, threads, numbers)
            print(f"keep, {threads} thread(s): {ITEMS / seconds:.0f} items/s")
        for size in (10, 100):
            begin = time.perf_counter()
            for _ in range(ITEMS // size):
                journal.keep_all([(Owed.RECEIPT, str(next(numbers)), PAYLOAD) for _ in range(size)])
            seconds = time.perf_counter() - begin
            print(f"keep_all of {size}: {ITEMS / seconds:.0f} items/s")
        begin = time.perf_counter()
        gone = 0
        while items := journal.due():
            gone += journal.done(items)
        print(f"due and done: {gone / (time.perf_counter() - begin):.0f} items/s")
        journal.close()


def keep_by(journal: SqliteJournal, threads: int, numbers: count[int]) -> float:
    """Keep the items by so many threads; gives the seconds it took."""

    def keep(_: int) -> None:
        assert journal.keep(Owed.RECEIPT, str(next(numbers)), PAYLOAD) is not None

    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        list(pool.map(keep, range(ITEMS)))
        return time.perf_counter() - begin


def bare_syncs(file: Path) -> float:
    """Append a page and sync it, one at a time; gives how many a second."""
    handle = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    begin = time.perf_counter()
    for _ in range(300):
        os.write(handle, b"x" * 4096)
        os.fsync(handle)
    os.close(handle)
    return 300 / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
