"""The routes of `openapi.yaml`: each view parses, asks one thing of the use case, and answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, jsonify, request

from fhirmsg.answers import Answer
from fhirmsg.calls import Call, message_id_for
from fhirmsg.clients import ApiScope, Client
from fhirmsg.errors import MessageNotFound
from fhirmsg.guidance.rule_table import as_json as rules_as_json
from fhirmsg.guidance.rules import RULES_VERSION
from fhirmsg.ports import Callback
from fhirmsg.standing import standing
from fhirmsg.web.answers import entry_as_json, response_to_call, state_as_json
from fhirmsg.web.body import NotReadable, json_object
from fhirmsg.web.contact import overview_as_json
from fhirmsg.web.contract import Fault, contract_text
from fhirmsg.web.errors import FHIR_JSON, Problem
from fhirmsg.web.identity import (
    admitted,
    authenticated,
    authorise,
    log_refusal,
    other_organisation,
    pass_emergency,
    too_many,
)
from fhirmsg.web.parse import NoSuchOrganisation, Parsed, Refused, parse
from fhirmsg.web.services import WebServices

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9\-.]{1,64}")


def routes(services: WebServices) -> Blueprint:
    """Give the views over these services."""
    views = Blueprint("fhirmsg", __name__)
    _Messages(services).add_to(views)
    _add_others(views, services)
    return views


class _Messages:
    """The views on messages."""

    def __init__(self, services: WebServices) -> None:
        self._services = services

    def add_to(self, views: Blueprint) -> None:
        views.add_url_rule("/v1/messages", "sendMessage", self.send, methods=["POST"])
        views.add_url_rule("/v1/messages/check", "checkMessage", self.check, methods=["POST"])
        views.add_url_rule("/v1/messages/<id>", "readMessage", self.read)
        views.add_url_rule("/v1/patients/<id>/messages", "listMessages", self.list)
        views.add_url_rule("/v1/patients/<id>/contact", "readContact", self.contact)

    def send(self) -> Response:
        return self._answer(self._services.messenger.send, ApiScope.SEND)

    def check(self) -> Response:
        return self._answer(self._services.messenger.check, ApiScope.CHECK, ApiScope.SEND)

    def _answer(self, ask: Callable[[Call], Answer], *scopes: ApiScope) -> Response:
        client, wait = admitted(self._services, *scopes)
        # Whether an emergency is declared, which passes every limit, stands in the body.
        if wait is not None and ApiScope.EMERGENCY not in client.scopes:
            raise too_many(client, wait)
        _wants("application/json", FHIR_JSON)
        parsed = self._parsed(client)
        if wait is not None:
            pass_emergency(client, parsed.request, self._services.clock(), wait)
        call = Call(
            request=parsed.request,
            policy=parsed.policy,
            message_id=message_id_for(client.id, _idempotency_key()),
            client_id=client.id,
            correlation_id=g.correlation_id,
        )
        return response_to_call(ask(call))

    def _parsed(self, client: Client) -> Parsed:
        if request.mimetype != "application/json":
            raise Problem(
                status=415,
                title="Unsupported media type",
                detail="The body has to be application/json.",
            )
        try:
            body = json_object(request.get_data())
            # What is wrong with a body tells of the policy, so it is held to none but its own.
            policies = {
                code: policy
                for code, policy in self._services.policies.items()
                if code in client.organisations
            }
            parsed = parse(body, policies, self._services.fhir_base_url)
        except NotReadable as error:
            raise _bad_request([error.fault]) from None
        except Refused as error:
            raise _bad_request(error.faults) from None
        except NoSuchOrganisation:
            raise other_organisation() from None
        authorise(client, parsed.request)
        return parsed

    def read(self, id: str) -> Response:
        client = self._client(ApiScope.READ)
        _wants("application/json")
        found = self._services.history.find(id) if _ID.fullmatch(id) else ()
        ours = tuple(entry for entry in found if entry.sender in client.organisations)
        legs = self._services.history.legs(ours[0]) if ours else ()
        if not ours:
            if found:
                log_refusal("message of another organisation")
            # The same answer as for an id that was never used.
            raise MessageNotFound(
                "No message with this id was opened for an organisation of this client."
            )
        return jsonify(state_as_json(standing(ours), legs))

    def list(self, id: str) -> Response:
        self._client(ApiScope.READ)
        _wants("application/json")
        faults = []
        if not _ID.fullmatch(id):
            faults.append(Fault(pointer="", detail="the id in the path is not a FHIR id"))
        count = request.args.get("count", "20")
        if not (re.fullmatch(r"[0-9]{1,3}", count) and 1 <= int(count) <= 100):
            faults.append(Fault(pointer="", detail="count has to be a number from 1 to 100"))
        unknown = request.args.keys() - {"count", "cursor"}
        if unknown:
            faults.append(Fault(pointer="", detail="the query has a parameter that is not known"))
        if faults:
            raise _bad_request(faults)
        cursor = request.args.get("cursor")
        page = self._services.history.page(f"Patient/{id}", count=int(count), cursor=cursor)
        following = (
            None
            if page.next is None
            else f"/v1/patients/{id}/messages?count={count}&cursor={quote(page.next)}"
        )
        messages = [entry_as_json(entry) for entry in page.entries]
        return jsonify({"messages": messages, "next": following})

    def contact(self, id: str) -> Response:
        client = self._client(ApiScope.READ)
        _wants("application/json")
        faults = []
        if not _ID.fullmatch(id):
            faults.append(Fault(pointer="", detail="the id in the path is not a FHIR id"))
        if request.args.keys() - {"organization"}:
            faults.append(Fault(pointer="", detail="the query has a parameter that is not known"))
        asked = request.args.get("organization", "").strip().upper()
        if not asked and len(client.organisations) > 1:
            faults.append(
                Fault(
                    pointer="",
                    detail="organization is needed: this client sends for several of them",
                )
            )
        if faults:
            raise _bad_request(faults)
        organization = asked or min(client.organisations)
        policy = self._services.policies.get(organization)
        if policy is None or organization not in client.organisations:
            raise other_organisation()
        found = self._services.overview.of(f"Patient/{id}", policy, organization)
        with_reasons = ApiScope.REASONS in client.scopes
        return jsonify(overview_as_json(found, with_reasons=with_reasons))

    def _client(self, *scopes: ApiScope) -> Client:
        return authenticated(self._services, *scopes)


def _add_others(views: Blueprint, services: WebServices) -> None:
    @views.get("/v1/rules", endpoint="listRules")
    def rules() -> Response:
        authenticated(services)
        _wants("application/json")
        return jsonify({"version": RULES_VERSION, "rules": rules_as_json()})

    @views.post("/v1/receipts/<provider>", endpoint="takeReceipts")
    def receipts(provider: str) -> Response:
        services.receiving.receipts(provider, _callback())
        return Response(status=204)

    @views.post("/v1/inbound/<provider>", endpoint="takeReplies")
    def replies(provider: str) -> Response:
        services.receiving.replies(provider, _callback())
        return Response(status=204)

    @views.get("/livez", endpoint="isLive")
    def live() -> Response:
        return jsonify({"status": "live"})

    @views.get("/readyz", endpoint="isReady")
    def ready() -> tuple[Response, int]:
        found = services.readiness()
        body: dict[str, Any] = {
            "status": "ready" if found.ready else "not-ready",
            "details": found.details,
        }
        return jsonify(body), 200 if found.ready else 503

    @views.get("/openapi.yaml", endpoint="readContract")
    def contract() -> Response:
        return Response(contract_text(), content_type="application/yaml")


def _callback() -> Callback:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Callback(headers=headers, body=request.get_data())


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        raise _bad_request(
            [
                Fault(
                    pointer="",
                    detail="the header Idempotency-Key is needed: 1 to 255 printable ASCII "
                    "characters, one key for each message, the same for each try",
                )
            ]
        )
    return key


def _wants(*types: str) -> None:
    if request.accept_mimetypes and not request.accept_mimetypes.best_match(types):
        raise Problem(
            status=406,
            title="Not acceptable",
            detail=f"This address answers {' and '.join(types)}.",
        )


def _bad_request(faults: list[Fault]) -> Problem:
    return Problem(
        status=400,
        title="Bad request",
        detail="The request has faults; each is listed. Nothing was sent.",
        faults=tuple(faults),
    )
