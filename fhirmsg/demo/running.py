"""Everything a demo needs, started in this process: a FHIR store, the adapter, an outbox."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhirmsg.app import build
from fhirmsg.clients import new_key
from fhirmsg.config import Settings
from fhirmsg.demo.loading import client_for, load, unload
from fhirmsg.demo.personas import Persona
from fhirmsg.fhir.client import FhirClient
from fhirmsg.packaged import packaged
from fhirmsg.providers.outbox import Outbox
from fhirmsg.sandbox import Store, serve_in_thread
from fhirmsg.serving import Server


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A running demo: the adapter's `url`, an API key for it, the outbox, the FHIR server."""

    url: str
    key: str
    outbox: Outbox
    fhir: FhirClient


@contextmanager
def running(
    personas: tuple[Persona, ...],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    fhir_base_url: str | None = None,
) -> Iterator[Demo]:
    """Run a demo until the block ends; what was put on somebody's server is taken off again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhirmsg-demo-")))
        if fhir_base_url is None:
            fhir_base_url = stack.enter_context(serve_in_thread(Store())).base_url
            client = client_for(fhir_base_url)
        else:
            client = client_for(fhir_base_url)
            stack.callback(unload, client)
        load(client, personas)
        key, digest = new_key()
        settings = Settings.from_environment(
            _environment(folder, fhir_base_url, digest, host, port)
        )
        server = Server(build(settings), settings)
        thread = threading.Thread(target=server.run, name="adapter", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.stop)
        yield Demo(url=server.url, key=key, outbox=Outbox(settings.outbox_file), fhir=client)


def _environment(
    folder: Path, fhir_base_url: str, digest: str, host: str, port: int
) -> dict[str, str]:
    clients = folder / "clients.yaml"
    clients.write_text(
        f"- id: demo\n  keys: ['{digest}']\n  scopes: [check, send, override, emergency, read]\n"
        "  organisations: [A12345]\n"
    )
    policy = packaged("policy/example.yaml", in_the_repository="fixtures/policy/example.yaml")
    return {
        "FHIRMSG_FHIR_BASE_URL": fhir_base_url,
        "FHIRMSG_ALLOW_PLAIN_HTTP": "true",
        "FHIRMSG_POLICY_FILES": str(policy),
        "FHIRMSG_CLIENTS_FILE": str(clients),
        "FHIRMSG_RECORD_KEY": digest,
        "FHIRMSG_JOURNAL_FILE": str(folder / "journal.sqlite3"),
        "FHIRMSG_OUTBOX_FILE": str(folder / "outbox.sqlite3"),
        "FHIRMSG_HOST": host,
        "FHIRMSG_PORT": str(port),
        # A public sandbox takes its time.
        "FHIRMSG_FHIR_READ_TIMEOUT": "60",
        "FHIRMSG_FHIR_DEADLINE": "90",
    }
