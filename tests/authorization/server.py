"""A real authorization server for the tests: oidc-provider on Node, on a free port of 127.0.0.1.

    with authorization_server([a_client]) as server:
        server.token_url
        server.revoke()

Its packages are installed from the lock file beside this into a cache folder of the user, once
for each version of that file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import requests

from fhirmsg.tokens import PrivateKey

HERE = Path(__file__).resolve().parent
FILES = ("package.json", "package-lock.json", ".npmrc", "server.mjs")
OLDEST_NODE = 20
INSTALL_SECONDS = 300
ANSWER_SECONDS = 30


class AuthorizationServerError(Exception):
    """The server could not be installed or started; the text says what was tried."""


def why_it_cannot_run() -> str | None:
    """Say in one sentence why the server cannot run here, or None when it can."""
    if shutil.which("node") is None:
        return f"The authorization server needs Node {OLDEST_NODE}, and no node command was found."
    answer = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.match(r"v(\d+)\.", answer.stdout)
    if found is None or int(found[1]) < OLDEST_NODE:
        return f"The authorization server needs Node {OLDEST_NODE}, and here is an older one."
    if shutil.which("npm") is None and not (_folder() / "installed").exists():
        return "The authorization server is installed with npm, and no npm command was found."
    return None


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = b"\0".join((HERE / name).read_bytes() for name in FILES)
    return cache / "fhirmsg-tests" / f"authorization-{hashlib.sha256(content).hexdigest()[:16]}"


def installed() -> Path:
    """Give the folder in which the server can be started; installs it where that is not done."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in FILES:
                shutil.copy(HERE / name, folder / name)
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                raise AuthorizationServerError(f"npm ci failed in {folder}:\n{done.stdout}")
            (folder / "installed").touch()
    return folder


@dataclass(frozen=True, kw_only=True)
class RegisteredClient:
    """A client as the server knows it: by a public key, under a key id."""

    id: str
    key: PrivateKey
    key_id: str
    algorithm: str

    def as_registered(self) -> dict[str, Any]:
        """Give what the server is told of it."""
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(
            self.key.public_key(), as_dict=True
        )
        return {
            "id": self.id,
            "algorithm": self.algorithm,
            "keys": [{**public, "kid": self.key_id, "use": "sig"}],
        }


@dataclass
class AuthorizationServer:
    """One running server; `granted` has the scopes of each token it gave, `refused` the reasons."""

    process: subprocess.Popen[str]
    secret: str
    url: str = ""
    granted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answers: queue.Queue[str] = field(default_factory=queue.Queue)

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return f"{self.url}/token"

    @property
    def smart_configuration(self) -> dict[str, Any]:
        """What a FHIR server behind it says of it."""
        return {
            "issuer": self.url,
            "token_endpoint": self.token_url,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        }

    def tell(self, **order: Any) -> str:
        """Have it do something, and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        try:
            return self.answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AuthorizationServerError("The authorization server does not answer.") from None

    def revoke(self) -> None:
        """Take back every token that it gave."""
        self.tell(revoke=True)

    def knows(self, token: str) -> bool:
        """Ask, as a FHIR server does, whether a token is good now (RFC 7662)."""
        answer = requests.post(
            f"{self.url}/token/introspection",
            data={"token": token},
            auth=("fhir-server", self.secret),
            timeout=ANSWER_SECONDS,
        )
        answer.raise_for_status()
        return answer.json()["active"] is True

    def listen(self) -> None:
        """Sort what it says, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "GRANTED":
                self.granted.append(rest)
            elif word == "REFUSED":
                self.refused.append(rest)
            elif word in ("PORT", "DONE"):
                self.answers.put(rest)


@contextlib.contextmanager
def authorization_server(
    clients: list[RegisteredClient], *, scopes: str, seconds: int = 300
) -> Iterator[AuthorizationServer]:
    """Run a server that knows these clients until the block ends."""
    secret = secrets.token_urlsafe(24)
    process = subprocess.Popen(
        ["node", "server.mjs"],
        cwd=installed(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    server = AuthorizationServer(process=process, secret=secret)
    listener = threading.Thread(target=server.listen, daemon=True)
    listener.start()
    try:
        port = server.tell(
            clients=[each.as_registered() for each in clients],
            reader=secret,
            scopes=scopes,
            seconds=seconds,
        )
        server.url = f"http://127.0.0.1:{port}"
        yield server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join(5)
        if process.stdout is not None:
            process.stdout.close()
