"""Settings of the providers over HTTP: what is taken, what is missing, and no secret in a fault."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from fhirmsg.app import providers_of
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import Provider, ProviderKind
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.nhs_notify_request import FREE_TEXT
from fhirmsg.providers.webhook import WebhookProvider
from tests.test_config import POLICY, environment, faults, settings

__all__ = ["environment"]

KEY = "tests-11111111-2222-4333-8444-555555555555-66666666-7777-4888-8999-aaaaaaaaaaaa"
TEMPLATE = "aaaaaaaa-0000-4000-8000-000000000001"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, long enough").decode()
NOTIFY = {"GOVUK_NOTIFY_API_KEY": KEY, "GOVUK_NOTIFY_SMS_TEMPLATE": TEMPLATE}
NHS = {"NHS_NOTIFY_BASE_URL": "https://int.api.service.nhs.uk/comms/"}
WEBHOOK = {"WEBHOOK_URL": "https://gateway.example/messages?v=1", "WEBHOOK_SECRETS": SECRET}


def policy(tmp_path: Path, provider: str, channels: str = "sms") -> None:
    text = POLICY.replace("outbox, channels: [sms]", f"{provider}, channels: [{channels}]")
    (tmp_path / "policy.yaml").write_text(text)


@pytest.mark.parametrize(
    ("name", "variables", "kind"),
    [
        ("govuk-notify", NOTIFY, GovukNotifyProvider),
        ("nhs-notify", NHS, NhsNotifyProvider),
        ("webhook", WEBHOOK, WebhookProvider),
    ],
)
def test_a_provider_that_is_set_up_is_built_and_says_what_it_is(
    environment: dict[str, str],
    tmp_path: Path,
    name: str,
    variables: dict[str, str],
    kind: type[Provider],
) -> None:
    policy(tmp_path, name)
    (fault,) = faults(environment)
    assert f"{name} is not configured here; set FHIRMSG_" in fault
    (provider,) = providers_of(settings(environment, **variables)).values()
    assert isinstance(provider, kind)
    assert provider.name == name
    assert providers_of(settings(environment, **variables)).keys() == {name}


def test_what_no_policy_names_is_not_built(environment: dict[str, str]) -> None:
    found = settings(environment, **NOTIFY, **NHS, **WEBHOOK)
    assert providers_of(found).keys() == {"outbox"}


def test_everything_of_govuk_notify_that_can_be_set_is_taken(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    policy(tmp_path, "govuk-notify", "sms, email")
    found = settings(
        environment,
        GOVUK_NOTIFY_API_KEY_FILE=str(tmp_path / "key"),
        GOVUK_NOTIFY_SMS_TEMPLATE=TEMPLATE,
        GOVUK_NOTIFY_EMAIL_TEMPLATE=TEMPLATE,
        GOVUK_NOTIFY_BODY_FIELD="text",
        GOVUK_NOTIFY_SUBJECT_FIELD="heading",
        GOVUK_NOTIFY_SMS_SENDER_ID=TEMPLATE,
        GOVUK_NOTIFY_EMAIL_REPLY_TO_ID=TEMPLATE,
        GOVUK_NOTIFY_RECEIPTS_TOKEN="one",
        GOVUK_NOTIFY_REPLIES_TOKEN="two",
        GOVUK_NOTIFY_RETENTION_DAYS="3",
        GOVUK_NOTIFY_BASE_URL="http://127.0.0.1:8000/",
    ).govuk_notify
    assert found is not None
    assert found.sms is not None
    assert found.email is not None
    assert (found.api_key, found.base_url) == (KEY, "http://127.0.0.1:8000")
    assert (found.sms.body_field, found.sms.subject_field) == ("text", None)
    assert (found.email.body_field, found.email.subject_field) == ("text", "heading")
    assert (found.sms_sender_id, found.email_reply_to_id) == (TEMPLATE, TEMPLATE)
    assert (found.receipts_token, found.replies_token, found.retention_days) == ("one", "two", 3)


def test_everything_of_nhs_notify_that_can_be_set_is_taken(environment: dict[str, str]) -> None:
    plain = settings(environment, **NHS).nhs_notify
    assert plain is not None
    assert plain.plans == FREE_TEXT
    assert plain.send_contact_details
    assert plain.base_url == "https://int.api.service.nhs.uk/comms"
    found = settings(
        environment,
        **NHS,
        NHS_NOTIFY_NHS_APP_PLAN=TEMPLATE,
        NHS_NOTIFY_NHS_APP_BODY_FIELD="text",
        NHS_NOTIFY_EMAIL_SUBJECT_FIELD="heading",
        NHS_NOTIFY_ODS_CODE="A12345",
        NHS_NOTIFY_BILLING_REFERENCE="clinic",
        NHS_NOTIFY_CALLBACK_APPLICATION_ID="an id",
        NHS_NOTIFY_CALLBACK_API_KEY="a key",
        NHS_NOTIFY_SEND_CONTACT_DETAILS="false",
    ).nhs_notify
    assert found is not None
    assert (found.plans[Channel.NHS_APP].id, found.plans[Channel.NHS_APP].body_field) == (
        TEMPLATE,
        "text",
    )
    assert found.plans[Channel.EMAIL].subject_field == "heading"
    assert found.plans[Channel.SMS] == FREE_TEXT[Channel.SMS]
    assert (found.ods_code, found.billing_reference) == ("A12345", "clinic")
    assert (found.callback_application_id, found.callback_api_key) == ("an id", "a key")
    assert not found.send_contact_details


def test_everything_of_a_gateway_that_can_be_set_is_taken(
    environment: dict[str, str], tmp_path: Path
) -> None:
    policy(tmp_path, "webhook")
    found = settings(
        environment,
        WEBHOOK_URL="https://gateway.example/",
        WEBHOOK_SECRETS=f"{SECRET} {SECRET}",
        WEBHOOK_DEDUPLICATES="true",
        WEBHOOK_REMEMBERS_HOURS="48",
    )
    assert found.webhook is not None
    assert (found.webhook.url, found.webhook.secrets) == (
        "https://gateway.example/",
        (SECRET, SECRET),
    )
    provider = providers_of(found)["webhook"]
    assert provider.kind is ProviderKind.REJECTS_REPEATS
    assert provider.retention_seconds == 48 * 3600


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GOVUK_NOTIFY_SMS_TEMPLATE": TEMPLATE}, "GOVUK_NOTIFY_API_KEY; give"),
        ({"GOVUK_NOTIFY_API_KEY": KEY}, "SMS_TEMPLATE, FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE: "),
        ({**NOTIFY, "GOVUK_NOTIFY_API_KEY": "x"}, "GOVUK_NOTIFY_API_KEY: not a name and two"),
        ({**NOTIFY, "GOVUK_NOTIFY_SMS_SENDER_ID": "x"}, "GOVUK_NOTIFY_SMS_SENDER_ID: not a UUID"),
        ({**NOTIFY, "GOVUK_NOTIFY_RETENTION_DAYS": "2"}, "GOVUK_NOTIFY_RETENTION_DAYS: is not"),
        ({**NOTIFY, "GOVUK_NOTIFY_BASE_URL": "http://notify.example"}, "is plain http"),
        ({**NOTIFY, "GOVUK_NOTIFY_BASE_URL": "https://x.example/?a=1"}, "holds a query"),
        ({"NHS_NOTIFY_ODS_CODE": "A12345"}, "NHS_NOTIFY_ODS_CODE: is set without FHIRMSG_NHS"),
        ({**NHS, "NHS_NOTIFY_SMS_PLAN": "mine"}, "FHIRMSG_NHS_NOTIFY_SMS_PLAN: not a UUID"),
        ({**NHS, "NHS_NOTIFY_CALLBACK_API_KEY": "k"}, "CALLBACK_API_KEY: one without the other"),
        ({"NHS_NOTIFY_BASE_URL": "ftp://x.example"}, "NHS_NOTIFY_BASE_URL: is not such an address"),
        ({"WEBHOOK_URL": "https://gateway.example"}, "FHIRMSG_WEBHOOK_SECRETS: is not set"),
        ({"WEBHOOK_SECRETS": SECRET}, "WEBHOOK_SECRETS: is set without FHIRMSG_WEBHOOK_URL"),
        ({**WEBHOOK, "WEBHOOK_SECRETS": "short"}, "WEBHOOK_SECRETS: number 1 is not whsec_"),
        ({**WEBHOOK, "WEBHOOK_URL": "http://gateway.example"}, "WEBHOOK_URL: is plain http"),
        ({**WEBHOOK, "WEBHOOK_URL": "https://a:b@gateway.example"}, "holds a user name"),
        ({**WEBHOOK, "WEBHOOK_URL": "https://gateway.example/#x"}, "holds a query or fragment"),
        ({**WEBHOOK, "WEBHOOK_URL": "https://169.254.169.254/x"}, "is an address of the link"),
        ({**WEBHOOK, "WEBHOOK_URL": "https://[fe80::1]/x"}, "is an address of the link"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_the_variable(
    environment: dict[str, str], changes: dict[str, Any], words: str
) -> None:
    found = faults(environment, **changes)
    assert len(found) == 1
    assert words in found[0]


def test_a_channel_without_a_template_is_told_before_a_message_needs_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    policy(tmp_path, "govuk-notify", "sms, email")
    (fault,) = faults(environment, **NOTIFY)
    assert fault.endswith(
        "platforms.texts.channels: there is no template for email; set "
        "FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE"
    )


def test_no_secret_shows_in_a_fault_or_in_the_settings(environment: dict[str, str]) -> None:
    secrets = {
        **NOTIFY,
        "GOVUK_NOTIFY_RECEIPTS_TOKEN": "hush-receipts",
        "GOVUK_NOTIFY_REPLIES_TOKEN": "hush-replies",
        **NHS,
        "NHS_NOTIFY_CALLBACK_APPLICATION_ID": "an id",
        "NHS_NOTIFY_CALLBACK_API_KEY": "hush-callback",
        **WEBHOOK,
    }
    shown = repr(settings(environment, **secrets))
    wrong = "\n".join(
        faults(
            environment,
            **{
                **secrets,
                "GOVUK_NOTIFY_API_KEY": f"hush {KEY}x",
                "WEBHOOK_SECRETS": "hush-hook",
                "PORT": "x",
            },
        )
    )
    for text in (shown, wrong):
        assert not any(part in text for part in (KEY, "hush", SECRET))
