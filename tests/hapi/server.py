"""A real HAPI FHIR JPA server (R4, H2 in memory) for the tests, built and run from this folder.

    server = HapiServer()
    if reason := server.why_not():
        ...  # one plain sentence: no Java, too old a Java, no Maven
    server.start()  # builds when the sources are newer than the build
    server.url  # http://127.0.0.1:12345/fhir
    server.expunge()
    server.stop()

The data live in memory: a server that was stopped starts again empty, on the same port.
Nothing here needs more than the standard library, a JDK of 17 or newer, and Maven.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE / "target"
APP = TARGET / "app"
BUILT = TARGET / "built"
LOCK = TARGET / "lock"

OLDEST_JAVA = 17
MAIN_CLASS = "fhirmsg.hapi.Main"
JVM_FLAGS = ("-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

BUILD_SECONDS = 400  # for both attempts
BUILD_ATTEMPTS = 2
BOOT_SECONDS = 180
STOP_SECONDS = 5
REQUEST_SECONDS = 60

_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy: the server is on this machine or beside it."""


class HapiError(Exception):
    """The server could not be built, started or emptied; the text says what was tried."""


class HapiServer:
    """One HAPI server: ours, on a free port of 127.0.0.1, or an external one by its base URL.

    An external server is neither started nor stopped here, but `expunge` does empty it:
    name only one that may be emptied.
    """

    def __init__(self, url: str | None = None) -> None:
        self.external = url is not None
        self._url = url.rstrip("/") if url else None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: int | None = None

    @property
    def url(self) -> str:
        """The FHIR base URL, without a slash at the end; known after the first start."""
        if self._url is None:
            raise HapiError("The HAPI server has no address before its first start.")
        return self._url

    @property
    def running(self) -> bool:
        """Whether the process is alive; an external server is taken to be."""
        return self.external or (self._process is not None and self._process.poll() is None)

    def why_not(self) -> str | None:
        """Say in one sentence why HAPI cannot run here, or None when it can."""
        return None if self.external else why_hapi_cannot_run()

    def start(self) -> None:
        """Build if need be, start, and wait until /metadata answers; nothing when running.

        The first start chooses a free port, later ones take the same port again.
        """
        if self.running:
            return
        build()
        self.stop()
        self._log, name = tempfile.mkstemp(prefix="fhirmsg-hapi-")
        os.unlink(name)  # so that it goes when the last of us lets go of it
        self._process = subprocess.Popen(
            [java(), *JVM_FLAGS, "-cp", f"{APP}/*", MAIN_CLASS, str(self._port)],
            stdin=subprocess.PIPE,  # held open: the server ends when this process does
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=TARGET,
            start_new_session=True,
        )
        atexit.register(self.stop)
        try:
            self._await_boot(time.monotonic() + BOOT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server for certain and free its port; nothing when it is not running."""
        if self.external:
            return
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._log is not None:
            os.close(self._log)
            self._log = None
        atexit.unregister(self.stop)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running server, SIGSTOP or SIGCONT for one."""
        if self._process is None:
            raise HapiError("Only a server that was started here can be sent a signal.")
        os.killpg(self._process.pid, number)

    def expunge(self) -> None:
        """Empty the server: every resource, every version, and every remembered search.

        Raises HapiError when the server refuses or does not answer.
        """
        parameters = {
            "resourceType": "Parameters",
            "parameter": [{"name": "expungeEverything", "valueBoolean": True}],
        }
        request = urllib.request.Request(
            f"{self.url}/$expunge",
            data=json.dumps(parameters).encode(),
            headers={"Content-Type": "application/fhir+json"},
            method="POST",
        )
        try:
            with _LOCAL.open(request, timeout=REQUEST_SECONDS) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            body = error.read(2000).decode(errors="replace")
            raise HapiError(f"$expunge at {self.url} answered {error.code}: {body}") from error
        except (OSError, http.client.HTTPException) as error:
            raise HapiError(f"$expunge at {self.url} could not be asked: {error}") from error

    def log(self) -> str:
        """What the running server has printed so far."""
        if self._log is None:
            return ""
        # pread leaves alone the offset that the server's own writes share.
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="replace")

    def _await_boot(self, deadline: float) -> None:
        assert self._process is not None
        while time.monotonic() < deadline:
            if (code := self._process.poll()) is not None:
                raise HapiError(
                    f"The HAPI server ended before it answered (exit {code}):\n{self.log()}"
                )
            if port := re.search(r"^PORT=(\d+)$", self.log(), re.MULTILINE):
                self._port = int(port[1])
                self._url = f"http://127.0.0.1:{self._port}/fhir"
                if _answers(f"{self._url}/metadata"):
                    return
            time.sleep(0.1)
        raise HapiError(f"The HAPI server did not answer in {BOOT_SECONDS} s:\n{self.log()}")


def why_hapi_cannot_run() -> str | None:
    """Say in one sentence why the server cannot be built and run here, or None when it can."""
    if (version := java_version()) is None:
        return f"HAPI needs Java {OLDEST_JAVA} or newer, and no java command was found."
    if version < OLDEST_JAVA:
        return f"HAPI needs Java {OLDEST_JAVA} or newer, and the java command here is {version}."
    if is_built():
        return None
    if shutil.which("mvn") is None:
        return "HAPI is built with Maven, and no mvn command was found."
    return None


def java() -> str:
    """The java command that Maven would take too: that of JAVA_HOME, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def java_version() -> int | None:
    """The feature version of the java command (8, 11, 17), or None when there is none."""
    try:
        answer = subprocess.run(
            [java(), "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None


def is_built() -> bool:
    """Whether target/app is there and newer than the pom and every source."""
    if not BUILT.exists() or not APP.is_dir():
        return False
    sources = [HERE / "pom.xml", *(HERE / "src").rglob("*")]
    return max(source.stat().st_mtime for source in sources) <= BUILT.stat().st_mtime


def build() -> None:
    """Build target/app with Maven unless it is up to date; one build at a time per checkout.

    A failed build is tried once more, since it is most often a download that broke off.
    Raises HapiError with Maven's output when that fails too.
    """
    if is_built():
        return
    with _build_lock():
        if is_built():  # by another process, while this one waited
            return
        started, deadline = time.time(), time.monotonic() + BUILD_SECONDS
        BUILT.unlink(missing_ok=True)
        for left_over in (APP, TARGET / "classes"):  # else jars of an older pom stay
            shutil.rmtree(left_over, ignore_errors=True)
        for attempt in range(1, BUILD_ATTEMPTS + 1):
            ending, output = _maven(deadline - time.monotonic())
            if ending == "exit 0":
                BUILT.touch()
                # So that a source edited during the build counts as newer than it.
                os.utime(BUILT, (started, started))
                return
            if attempt < BUILD_ATTEMPTS:
                time.sleep(2)
        raise HapiError(
            f"HAPI could not be built: mvn package failed {BUILD_ATTEMPTS} times in {HERE}, "
            f"the last time with {ending}:\n{output}"
        )


def _maven(seconds: float) -> tuple[str, str]:
    """Run one build; give how it ended ("exit 0", "time-out") and all that it printed."""
    try:
        result = subprocess.run(
            ["mvn", "-q", "-B", "-Dstyle.color=never", "package"],
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(seconds, 1),
            check=False,
        )
    except OSError as error:
        return "no start", str(error)
    except subprocess.TimeoutExpired as error:
        return "a time-out", (error.stdout or b"").decode(errors="replace")
    return f"exit {result.returncode}", result.stdout.decode(errors="replace")


@contextlib.contextmanager
def _build_lock() -> Iterator[None]:
    TARGET.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _answers(url: str) -> bool:
    try:
        with _LOCAL.open(url, timeout=REQUEST_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, then make it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            break
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.wait()
