"""`openapi.yaml` is valid, and says of the running application what is true."""

from __future__ import annotations

import re

from openapi_spec_validator import validate

from fhirmsg.web.contract import contract, faults_of
from tests.web.app_under_test import Face, a_body

METHODS = {"get", "post", "put", "delete"}


def test_the_contract_is_valid_openapi() -> None:
    validate(contract())


def test_the_contract_and_the_application_know_the_same_operations() -> None:
    promised = {
        (path, method, operation["operationId"])
        for path, item in contract()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower(), rule.endpoint.rpartition(".")[2])
        for rule in Face().app.url_map.iter_rules()
        for method in rule.methods or ()
        if method.lower() in METHODS
    }
    assert served == promised


def test_every_operation_that_asks_who_calls_says_how_it_turns_a_caller_away() -> None:
    asking = [
        operation
        for item in contract()["paths"].values()
        for method, operation in item.items()
        if method in METHODS and operation.get("security", True)
    ]
    assert asking
    for operation in asking:
        assert {"401", "403", "429"} <= operation["responses"].keys(), operation["operationId"]


def test_every_example_of_a_request_is_one() -> None:
    body = contract()["components"]["requestBodies"]["Message"]["content"]["application/json"]
    for example in body["examples"].values():
        assert faults_of(example["value"], "Message") == []
    assert faults_of(a_body(), "Message") == []


def test_the_contract_is_served_as_it_is_written() -> None:
    answer = Face().client.get("/openapi.yaml")
    assert answer.mimetype == "application/yaml"
    assert answer.text.startswith("openapi: 3.1")
