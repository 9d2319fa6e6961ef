"""Settings: where they come from, and that everything wrong with them is told at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trustme

from fhirmsg.clients import ApiScope, RateLimit, digest_of, new_key
from fhirmsg.clientsfile import parse_clients
from fhirmsg.config import Settings
from fhirmsg.errors import SettingsError
from fhirmsg.providers.outbox import Outbox

FIXTURES = Path(__file__).parent.parent / "fixtures" / "policy"
RECORD_KEY = "a key of the tests that keys nothing else"
DIGEST = digest_of("a key of the tests")
CLIENTS = f"- {{id: tests, keys: [{DIGEST}], scopes: [check], organisations: [A12345]}}\n"
POLICY = """
version: v1
organisations: [A12345]
name: Example Surgery
roles: {approve_overrides: [Caldicott Guardian]}
platforms:
  texts: {provider: outbox, channels: [sms], fallbacks: [], notifies_by: []}
"""
SMTP = {"FHIRMSG_SMTP_HOST": "mail.example", "FHIRMSG_SMTP_FROM": "surgery@example.com"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with what is required and nothing else."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "clients.yaml").write_text(CLIENTS)
    return {
        "PATH": "/usr/bin",
        "FHIRMSG_FHIR_BASE_URL": "https://ehr.example/fhir",
        "FHIRMSG_POLICY_FILES": str(tmp_path / "policy.yaml"),
        "FHIRMSG_CLIENTS_FILE": str(tmp_path / "clients.yaml"),
        "FHIRMSG_RECORD_KEY": RECORD_KEY,
        "FHIRMSG_JOURNAL_FILE": str(tmp_path / "journal.sqlite3"),
        "FHIRMSG_OUTBOX_FILE": str(tmp_path / "outbox.sqlite3"),
    }


def faults(environment: dict[str, str], **changes: str | None) -> list[str]:
    changed = {**environment, **{f"FHIRMSG_{name}": text for name, text in changes.items()}}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({k: v for k, v in changed.items() if v is not None})
    return caught.value.faults


def settings(environment: dict[str, str], **changes: str) -> Settings:
    changed = {f"FHIRMSG_{name}": text for name, text in changes.items()}
    return Settings.from_environment({**environment, **changed})


def test_what_is_required_is_enough(environment: dict[str, str]) -> None:
    found = settings(environment)
    assert found.fhir.base_url == "https://ehr.example/fhir"
    assert set(found.policies) == {"A12345"}
    assert found.clients[0].scopes == {ApiScope.CHECK}
    assert found.record_key == RECORD_KEY.encode()
    assert (found.host, found.port, found.threads) == ("127.0.0.1", 8080, 16)
    assert (found.times.start_within, found.times.handoff, found.times.margin) == (30, 20, 60)
    assert found.smtp is None
    assert found.proxies == {}
    assert found.log_level == "INFO"
    assert not found.spelling
    assert found.rate_limit == RateLimit(calls=3000, seconds=60)


def test_everything_that_can_be_set_is_taken(environment: dict[str, str], tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    found = settings(
        environment,
        HOST="::1",
        PORT="0",
        THREADS="4",
        FHIR_CONNECT_TIMEOUT="0.5",
        FHIR_READ_TIMEOUT="2",
        FHIR_DEADLINE="4",
        HTTP_PROXY="http://user:secret@proxy.example:3128",
        HTTPS_PROXY="http://proxy.example:3128",
        CA_FILE=str(authority),
        START_WITHIN_SECONDS="1",
        HANDOFF_SECONDS="2.5",
        LEASE_MARGIN_SECONDS="0",
        SMTP_HOST="mail.example",
        SMTP_FROM="surgery@example.com",
        SMTP_FROM_NAME="Example Surgery",
        SMTP_REPLY_TO="desk@example.com",
        SMTP_SECURITY="TLS",
        SMTP_USERNAME="surgery",
        SMTP_PASSWORD=" with blanks ",
        SMTP_CA_FILE=str(authority),
        LOG_LEVEL="debug",
        SPELLING="True",
        RATE_LIMIT="600/minute",
    )
    assert (found.host, found.port, found.threads) == ("::1", 0, 4)
    fhir = found.fhir
    assert (fhir.connect_timeout, fhir.read_timeout, fhir.call_deadline) == (0.5, 2, 4)
    assert found.proxies["https"] == "http://proxy.example:3128"
    assert found.ca_file == str(authority)
    assert (found.times.start_within, found.times.handoff, found.times.margin) == (1, 2.5, 0)
    assert found.smtp is not None
    assert (found.smtp.security, found.smtp.port) == ("tls", 465)
    assert found.smtp.password == " with blanks "
    assert found.smtp.reply_to == "desk@example.com"
    assert found.log_level == "DEBUG"
    assert found.spelling
    assert found.rate_limit == RateLimit(calls=600, seconds=60)


def test_every_fault_is_told_at_once_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("fallbacks: [], ", "") + "typo: 1\n")
    (tmp_path / "clients.yaml").write_text("- {id: tests, keys: [], scopes: [send]}")
    found = faults(
        {},
        FHIR_BASE_URL="http://ehr.example/fhir",
        POLICY_FILES=str(tmp_path / "policy.yaml"),
        CLIENTS_FILE=str(tmp_path / "clients.yaml"),
        PORT="eighty",
        THREDS="4",
    )
    told = "\n".join(found)
    for part in (
        f"{tmp_path / 'policy.yaml'}: typo: is not a key that is known here",
        f"{tmp_path / 'policy.yaml'}: platforms.texts.fallbacks: is missing; ",
        f"{tmp_path / 'clients.yaml'}: tests.keys: is an empty list; ",
        f"{tmp_path / 'clients.yaml'}: tests.organisations: is missing; ",
        "FHIRMSG_FHIR_BASE_URL: is plain http",
        "FHIRMSG_RECORD_KEY: is not set; ",
        "FHIRMSG_JOURNAL_FILE: is not set; ",
        "FHIRMSG_PORT: is not right; write a whole number from 0 to 65535",
        "FHIRMSG_THREDS: is not a setting of this version; did you mean FHIRMSG_THREADS?",
    ):
        assert part in told
    assert len(found) == 9


def test_what_is_required_is_named_when_nothing_is_set() -> None:
    assert [fault.partition(":")[0] for fault in faults({})] == [
        "FHIRMSG_POLICY_FILES",
        "FHIRMSG_FHIR_BASE_URL",
        "FHIRMSG_CLIENTS_FILE",
        "FHIRMSG_RECORD_KEY",
        "FHIRMSG_JOURNAL_FILE",
    ]


def test_a_variable_that_is_not_known_is_a_fault(environment: dict[str, str]) -> None:
    assert faults(environment, SMTP_PASWORD="x")[0] == (
        "FHIRMSG_SMTP_PASWORD: is not a setting of this version; did you mean "
        "FHIRMSG_SMTP_PASSWORD?"
    )
    assert faults(environment, QQ="x") == [
        "FHIRMSG_QQ: is not a setting of this version; remove it"
    ]


@pytest.mark.parametrize("name", ["CA_FILE", "HOST", "PORT", "SMTP_PASSWORD", "LOG_LEVEL"])
def test_a_variable_that_is_set_to_nothing_is_a_fault(
    environment: dict[str, str], name: str
) -> None:
    assert any(
        fault.startswith(f"FHIRMSG_{name}: is set to nothing; ")
        for fault in faults(environment, **{name: " "})
    )


# --- the FHIR server --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example/fhir",
        "http://localhost:8080/fhir",
        "http://127.0.0.1/fhir",
        "http://127.8.9.1/fhir",
        "http://[::1]:8080/fhir",
    ],
)
def test_plain_http_is_for_this_machine_alone(environment: dict[str, str], url: str) -> None:
    assert settings(environment, FHIR_BASE_URL=url).fhir.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://ehr.example/fhir",
        "http://localhost.example/fhir",
        "http://10.0.0.1/fhir",
        "http://0.0.0.0/fhir",
    ],
)
def test_elsewhere_it_has_to_be_asked_for(environment: dict[str, str], url: str) -> None:
    assert "in the clear" in faults(environment, FHIR_BASE_URL=url)[0]
    assert "in the clear" in faults(environment, FHIR_BASE_URL=url, ALLOW_PLAIN_HTTP="false")[0]
    assert settings(environment, FHIR_BASE_URL=url, ALLOW_PLAIN_HTTP="true").fhir.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "ehr.example/fhir",
        "ftp://ehr.example/fhir",
        "https:///fhir",
        "https://ehr.example:port/fhir",
        "https://ehr.example:99999/fhir",
        "https://ehr.example/fh ir",
        "https://[::1/fhir",
        "https://user@ehr.example/fhir",
        "https://ehr.example/fhir?_format=json",
        "https://ehr.example/fhir?",
        "https://ehr.example/fhir#top",
    ],
)
def test_what_is_no_base_address_is_a_fault(environment: dict[str, str], url: str) -> None:
    (fault,) = faults(environment, FHIR_BASE_URL=url)
    assert fault.startswith("FHIRMSG_FHIR_BASE_URL: ")
    assert "user" not in fault.partition("; ")[0].replace("user name", "")


# --- secrets ----------------------------------------------------------------------------------


def test_neither_a_fault_nor_a_repr_shows_a_secret(environment: dict[str, str]) -> None:
    secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
    secrets = {
        "RECORD_KEY": secret,
        "HTTP_PROXY": f"http://user:{secret}@proxy.example:3128",
        "SMTP_HOST": "mail.example",
        "SMTP_FROM": "surgery@example.com",
        "SMTP_USERNAME": "surgery",
        "SMTP_PASSWORD": secret,
    }
    assert secret not in repr(settings(environment, **secrets))
    assert DIGEST not in repr(settings(environment, **secrets))
    wrong = {**secrets, "PORT": secret, "SMTP_PORT": secret, "SMTP_SECURITY": secret, "X": secret}
    told = faults(
        environment,
        **{**wrong, "FHIR_BASE_URL": f"https://user:{secret}@ehr.example/fhir", "THREADS": secret},
    )
    assert len(told) == 6
    assert secret not in "\n".join(told)
    assert secret not in "\n".join(faults(environment, RECORD_KEY=None, RECORD_KEY_FILE=secret))
    assert secret not in "\n".join(faults(environment, **smtp_with_file(secret)))


def smtp_with_file(path: str) -> dict[str, str]:
    return {
        "SMTP_HOST": "mail.example",
        "SMTP_FROM": "surgery@example.com",
        "SMTP_USERNAME": "surgery",
        "SMTP_PASSWORD_FILE": path,
    }


def test_secrets_may_come_from_files(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "record-key").write_text(f"{RECORD_KEY}\n")
    (tmp_path / "password").write_text("a password\n")
    del environment["FHIRMSG_RECORD_KEY"]
    found = settings(
        environment,
        RECORD_KEY_FILE=str(tmp_path / "record-key"),
        **smtp_with_file(str(tmp_path / "password")),
    )
    assert found.record_key == RECORD_KEY.encode()
    assert found.smtp is not None
    assert found.smtp.password == "a password"


def test_a_secret_is_given_once(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "record-key").write_text(RECORD_KEY)
    assert faults(environment, RECORD_KEY_FILE=str(tmp_path / "record-key")) == [
        "FHIRMSG_RECORD_KEY: is set beside FHIRMSG_RECORD_KEY_FILE; keep one of the two"
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff" * 40])
def test_a_file_without_a_usable_secret_is_a_fault(
    environment: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "record-key").write_bytes(content)
    found = faults(environment, RECORD_KEY=None, RECORD_KEY_FILE=str(tmp_path / "record-key"))
    assert len(found) == 1
    assert found[0].startswith("FHIRMSG_RECORD_KEY")


def test_a_record_key_has_32_bytes_at_least(environment: dict[str, str]) -> None:
    assert "is too short" in faults(environment, RECORD_KEY="x" * 31)[0]
    assert settings(environment, RECORD_KEY="x" * 32).record_key == b"x" * 32


# --- policies and clients ---------------------------------------------------------------------


def test_several_policy_files_are_read_and_an_organisation_is_in_one_of_them(
    environment: dict[str, str], tmp_path: Path
) -> None:
    one, other = tmp_path / "policy.yaml", tmp_path / "other.yaml"
    other.write_text(POLICY.replace("A12345", "B67890, C13579"))
    both = f"{one}{os.pathsep}{other}"
    assert set(settings(environment, POLICY_FILES=both).policies) == {"A12345", "B67890", "C13579"}
    other.write_text(POLICY.replace("A12345", "B67890, a12345"))
    assert faults(environment, POLICY_FILES=both) == [
        f"{other}: organisations: A12345 has a policy in {one} too; keep it in one file"
    ]
    assert "keep it in one file" in faults(environment, POLICY_FILES=f"{one}{os.pathsep}{one}")[0]


def test_a_file_that_cannot_be_read_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert faults(environment, CLIENTS_FILE=str(missing)) == [
        f"FHIRMSG_CLIENTS_FILE: {missing} cannot be read (no such file or directory); name a file "
        "that can be"
    ]
    assert f"FHIRMSG_POLICY_FILES: {tmp_path} cannot be read" in "\n".join(
        faults(environment, POLICY_FILES=str(tmp_path))
    )


def test_an_organisation_of_a_client_needs_a_policy(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "clients.yaml").write_text(CLIENTS.replace("A12345", "A12345, X99999"))
    (fault,) = faults(environment)
    assert "tests.organisations: X99999 is in no policy file" in fault


def test_a_provider_that_a_policy_names_is_configured(
    environment: dict[str, str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    assert faults(environment, OUTBOX_FILE=None) == [
        f"{policy}: platforms.texts.provider: outbox is not configured here; set "
        "FHIRMSG_OUTBOX_FILE"
    ]
    policy.write_text(POLICY.replace("outbox, channels: [sms]", "smtp, channels: [email]"))
    assert "smtp is not configured here; set FHIRMSG_SMTP_HOST" in faults(environment)[0]
    settings({**environment, **SMTP})
    policy.write_text(POLICY.replace("outbox", "smtp"))
    assert "smtp does not carry sms" in faults({**environment, **SMTP})[0]
    policy.write_text(POLICY.replace("outbox", "pigeons"))
    assert (
        "pigeons is not a provider of this version; use one of outbox, smtp, govuk-notify, "
        "nhs-notify, webhook" in (faults(environment)[0])
    )


def test_a_lexicon_is_looked_for_beside_the_policy_that_names_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "policy.yaml").open("a") as policy:
        policy.write("lexicon: words.yaml\n")
    fault = faults(environment)[0]
    assert fault.startswith(f"{tmp_path / 'policy.yaml'}: lexicon: 'words.yaml' cannot be read")
    words = "version: '7'\ncategories: {feet: {label: feet, conditions: [bunions]}}\n"
    (tmp_path / "words.yaml").write_text(words)
    assert settings(environment).policies["A12345"].lexicon.version == "7"


def test_spelling_is_checked_where_the_checker_is_installed_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "harper", None)
    (fault,) = faults(environment, SPELLING="true")
    assert fault.startswith("FHIRMSG_SPELLING: is true, but harper-py is not installed")
    assert "install fhirmsg[language]" in fault
    assert not settings(environment, SPELLING="false").spelling


def test_the_example_files_work_together(environment: dict[str, str]) -> None:
    found = settings(
        environment,
        POLICY_FILES=str(FIXTURES / "example.yaml"),
        CLIENTS_FILE=str(FIXTURES / "clients.example.yaml"),
    )
    assert [client.id for client in found.clients] == [
        "appointment-reminders",
        "record-system",
        "clinic-portal",
    ]


# --- the clients file -------------------------------------------------------------------------


def client_faults(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_clients(text.encode())
    return caught.value.faults


def test_a_client_is_read_with_what_it_may_do() -> None:
    (client,) = parse_clients(
        f"""
- id: reminders
  keys: [{DIGEST}, {DIGEST.upper().replace("A", "B")}]
  scopes: [check, send, override, emergency, read, reasons]
  organisations: [a12345]
  persons: [clerk-1]
  roles: [receptionist]
""".encode()
    )
    assert client.id == "reminders"
    assert client.key_sha256[0] == DIGEST
    assert client.key_sha256[1].islower()
    assert client.scopes == frozenset(ApiScope)
    assert client.organisations == {"A12345"}
    assert client.persons == {"clerk-1"}
    assert client.roles == {"receptionist"}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("id: tests", "tests.name: is not a key that is known here"),
        ("id: null", "[0].id: has no value"),
        ("id: two words", "[0].id: is not a name"),
        ("scopes: [chekc]", "'chekc' is not a scope; did you mean check?"),
        ("scopes: []", "tests.scopes: is an empty list"),
        ("organisations: []", "tests.organisations: is an empty list"),
        ("persons: []", "tests.persons: is an empty list; list those whom the client may name"),
        ("roles: null", "tests.roles: has no value"),
        ("keys: []", "tests.keys: is an empty list"),
        ("keys: [abc]", "tests.keys: holds something else than 64 hex digits"),
    ],
)
def test_what_is_wrong_with_a_client_is_told(written: str, says: str) -> None:
    key = written.partition(":")[0]
    lines = {
        "id": "id: tests",
        "keys": f"keys: [{DIGEST}]",
        "scopes": "scopes: [check]",
        "organisations": "organisations: [A12345]",
        **({"name": "name: x"} if written == "id: tests" else {}),
        key: written,
    }
    told = client_faults("- " + "\n  ".join(lines.values()))
    assert len(told) == 1
    assert says in told[0]


def test_a_key_in_the_place_of_its_digest_is_found_and_not_shown() -> None:
    key, digest = new_key()
    for written in (f"[{key}]", key, f"[{key}, {digest}]", f"[[{key}]]", f"[{digest[:-1]}]"):
        (told,) = client_faults(CLIENTS.replace(f"[{DIGEST}]", written))
        assert "fhirmsg keys new" in told
        assert key not in told
        assert digest[:-1] not in told


def test_ids_and_keys_belong_to_one_client() -> None:
    assert client_faults(CLIENTS + CLIENTS) == [
        "tests: is there twice; give each client an id of its own"
    ]
    assert client_faults(CLIENTS + CLIENTS.replace("tests", "others")) == [
        "others.keys: holds a key of tests too; give each its own"
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", "words", "- words", "id: tests"])
def test_a_file_without_a_list_of_clients_is_a_fault(text: str) -> None:
    assert client_faults(text)


# --- SMTP -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"SMTP_HOST": None}, "FHIRMSG_SMTP_FROM: is set without FHIRMSG_SMTP_HOST"),
        ({"SMTP_FROM": None}, "FHIRMSG_SMTP_FROM: is not set"),
        ({"SMTP_FROM": "surgery"}, "FHIRMSG_SMTP_FROM: not an ASCII address"),
        ({"SMTP_SECURITY": "none"}, "FHIRMSG_SMTP_SECURITY: none would send patient data"),
        ({"SMTP_SECURITY": "ssl"}, "FHIRMSG_SMTP_SECURITY: is not right; write one of starttls"),
        ({"SMTP_USERNAME": "x"}, "FHIRMSG_SMTP_USERNAME, FHIRMSG_SMTP_PASSWORD: one without"),
        ({"SMTP_CA_FILE": "missing.pem"}, "FHIRMSG_SMTP_CA_FILE: missing.pem cannot be read"),
        ({"CA_FILE": "missing.pem"}, "FHIRMSG_CA_FILE: missing.pem cannot be read"),
        ({"HTTPS_PROXY": "proxy:3128"}, "FHIRMSG_HTTPS_PROXY: is not such an address"),
        ({"HTTP_PROXY": "socks5://proxy"}, "FHIRMSG_HTTP_PROXY: is not such an address"),
    ],
)
def test_what_is_wrong_with_a_way_out_is_told_by_its_variable(
    environment: dict[str, str], changes: dict[str, str | None], says: str
) -> None:
    (told,) = faults({**environment, **SMTP}, **changes)
    assert told.startswith(says)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("THREADS", "0"),
        ("THREADS", "2.5"),
        ("PORT", "65536"),
        ("FHIR_DEADLINE", "0"),
        ("FHIR_READ_TIMEOUT", "nan"),
        ("HANDOFF_SECONDS", "-1"),
        ("LEASE_MARGIN_SECONDS", "4000"),
        ("LOG_LEVEL", "TRACE"),
        ("ALLOW_PLAIN_HTTP", "yes"),
        ("SPELLING", "on"),
    ],
)
def test_a_value_out_of_bounds_is_a_fault(
    environment: dict[str, str], name: str, text: str
) -> None:
    (told,) = faults(environment, **{name: text})
    assert told.startswith(f"FHIRMSG_{name}: is not right; write ")


def test_the_journal_is_made_for_its_owner_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "journal"
    path.parent.mkdir()
    assert settings(environment, JOURNAL_FILE=str(path)).journal_file == str(path)
    assert [each.name for each in path.parent.iterdir()] == ["journal"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("journal.sqlite3", "does not begin at the root; name a file on a persistent volume"),
        ("{folder}/missing/journal", "/missing/journal is in no folder that is there; make it"),
        ("{folder}", "it cannot be used (is a directory)"),
        ("{folder}/empty", "its file is empty, so what was in it may be lost"),
        ("{folder}/policy.yaml", "it is not a journal or is damaged"),
        ("{folder}/other.sqlite3", "another program's"),
    ],
)
def test_a_journal_that_cannot_be_used_is_told(
    environment: dict[str, str], tmp_path: Path, path: str, told: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "policy.yaml").write_text(POLICY * 50)
    Outbox(str(tmp_path / "other.sqlite3")).close()
    before = sorted((each.name, each.stat().st_size) for each in tmp_path.iterdir())
    [fault] = [
        each
        for each in faults(environment, JOURNAL_FILE=path.format(folder=tmp_path))
        if "JOURNAL_FILE" in each
    ]
    assert told in fault
    assert sorted((each.name, each.stat().st_size) for each in tmp_path.iterdir()) == before
