"""Memory of one serving process after its first requests. Run by hand:

    python -m tests.bench.memory

Prints the resident memory in MiB (the aim is 120 at most), and how long the process took to
listen and to answer. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import world
from tests.serving import serving, write_settings

AIM_MIB = 120


def main() -> None:
    """Serve before an embedded store, send, and look at the process."""
    store = subprocess.Popen(
        [sys.executable, "-m", "fhirmsg.sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert store.stdout is not None
        base = store.stdout.readline().split()[-1]
        world.put(base, world.a_patient_resource())
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with serving(write_settings(Path(folder), base)) as running:
                print(f"listening after {time.perf_counter() - began:.2f} s")
                show("idle", running.process.pid)
                for number in range(1, 101):
                    began = time.perf_counter()
                    answer = running.send(f"memory-{number}")
                    assert answer.status_code == 201, answer.text
                    if number in (1, 2, 100):
                        took = (time.perf_counter() - began) * 1000
                        show(f"send {number:3} took {took:4.0f} ms", running.process.pid)
    finally:
        store.terminate()
        store.wait()


def show(what: str, pid: int) -> None:
    """Print the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (resident,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    print(f"{what:<22} {resident / 1024:6.1f} MiB (aim: {AIM_MIB} at most)")


if __name__ == "__main__":
    main()
