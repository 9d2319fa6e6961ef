"""Settings of NHS Notify."""

from __future__ import annotations

from fhirmsg.config.addresses import FLAGS, https_url
from fhirmsg.config.providers import named
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.errors import SettingsError
from fhirmsg.providers.nhs_notify_request import BASE_URL, FREE_TEXT, NhsNotifySettings, RoutingPlan

_START = "NHS_NOTIFY_"


def nhs_notify(variables: Variables) -> NhsNotifySettings | None:
    """Read the settings of NHS Notify, None when there is no address."""
    base_url = https_url(
        variables,
        f"{_START}BASE_URL",
        base=True,
        default="",
        what=f"write the environment's, as {BASE_URL}",
    )
    plans = {}
    for channel, free_text in FREE_TEXT.items():
        start = f"{_START}{channel.name}_"
        subject = free_text.subject_field
        if subject is not None:
            subject = variables.text(f"{start}SUBJECT_FIELD", default=subject)
        plans[channel] = RoutingPlan(
            id=variables.text(f"{start}PLAN", default=free_text.id),
            body_field=variables.text(f"{start}BODY_FIELD", default=free_text.body_field),
            subject_field=subject,
        )
    ods_code, billing_reference, application_id = (
        variables.text(f"{_START}{name}", default="") or None
        for name in ("ODS_CODE", "BILLING_REFERENCE", "CALLBACK_APPLICATION_ID")
    )
    callback_api_key = variables.secret(
        f"{_START}CALLBACK_API_KEY", what="give the key that NHS Notify sends with callbacks"
    )
    send_contact_details = variables.choice(f"{_START}SEND_CONTACT_DETAILS", FLAGS, True)
    if not base_url:
        if others := variables.starting_with(_START):
            variables.fault(others[0], f"is set without {PREFIX}{_START}BASE_URL; set that")
        return None
    try:
        return NhsNotifySettings(
            plans=plans,
            send_contact_details=send_contact_details,
            ods_code=ods_code,
            billing_reference=billing_reference,
            callback_application_id=application_id,
            callback_api_key=callback_api_key,
            base_url=base_url,
        )
    except SettingsError as error:
        variables.faults += [named(_START, fault) for fault in error.faults]
        return None
