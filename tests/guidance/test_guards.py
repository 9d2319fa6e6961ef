"""What must hold of the rules as a whole, whoever writes the next one."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest
from hypothesis import given

import fhirmsg.guidance
from fhirmsg.guidance import rules
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.flaws import FLAW_EFFECTS
from fhirmsg.guidance.rule import Card, Effect, Rule
from fhirmsg.guidance.rules import HEADINGS, RULES
from tests.builders import a_case
from tests.guidance import strategies as some

CARDS = [each.card for each in RULES]
CORE = Path(fhirmsg.guidance.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))
every_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.code)


def imported_by(module: Path) -> set[str]:
    """Give the full names of the modules a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_guidance_imports_itself_and_the_standard_library_alone(module: Path) -> None:
    foreign = {
        name
        for name in imported_by(module)
        if not name.startswith("fhirmsg.guidance")
        and name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_guidance_reads_no_clock_no_network_and_no_file(module: Path) -> None:
    outward = {"os", "io", "pathlib", "socket", "urllib", "http", "time", "random", "subprocess"}
    assert {name.partition(".")[0] for name in imported_by(module)} & outward == set()
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called & {"now", "utcnow", "today"} == set()


def test_every_code_has_one_card() -> None:
    codes = [card.code for card in CARDS]
    assert sorted(codes) == sorted(set(codes))


def test_every_rule_that_is_written_is_listed() -> None:
    written = {
        id(value)
        for module in pkgutil.iter_modules(rules.__path__)
        for value in vars(importlib.import_module(f"{rules.__name__}.{module.name}")).values()
        if isinstance(value, Rule)
    }
    assert written == {id(each) for each in RULES}


@every_card
def test_every_section_is_a_heading(card: Card) -> None:
    assert card.section in HEADINGS


def test_rules_come_in_the_order_of_the_page() -> None:
    places = [HEADINGS.index(card.section) for card in CARDS]
    assert places == sorted(places)


@every_card
def test_a_final_refusal_has_no_lift(card: Card) -> None:
    both = card.effect is card.in_emergency is Effect.REFUSE
    assert card.is_final == (both and not card.lifted_by)


FINAL = {
    "person.mismatch",
    "person.deceased",
    "person.replaced",
    "request.stale",
    "scope.recipient",
    "scope.not-care",
    "proxy.link",
    "proxy.inactive",
    "proxy.denied",
    "sensitive.declined",
    "contact.none",
    "contact.excluded",
    "objection.safety",
}


def test_these_refusals_are_final_and_no_others() -> None:
    assert {card.code for card in CARDS if card.is_final} == FINAL


@every_card
def test_an_emergency_never_makes_a_finding_worse(card: Card) -> None:
    if not card.code.startswith("emergency."):
        assert card.in_emergency is not None
        assert card.effect is not None
        assert card.in_emergency <= card.effect


@every_card
def test_every_hold_and_refusal_names_somebody_to_ask(card: Card) -> None:
    if Effect.HOLD in (card.effect, card.in_emergency) or card.effect is Effect.REFUSE:
        assert card.ask


@every_card
def test_a_lift_belongs_to_what_stops_a_message(card: Card) -> None:
    if card.lifted_by:
        # The policy may have a message held for want of an assessment of capacity.
        assert card.code == "proxy.capacity-unrecorded" or card.effect in (
            Effect.HOLD,
            Effect.REFUSE,
        )


@every_card
def test_every_card_states_its_rule_in_a_sentence(card: Card) -> None:
    assert card.states.endswith(".")
    assert card.states[0].isupper()


@pytest.mark.parametrize("code", FLAW_EFFECTS)
def test_the_effects_by_which_grants_are_compared_are_those_of_their_cards(code: str) -> None:
    (card,) = (card for card in CARDS if card.code == code)
    assert (card.effect, card.in_emergency) == FLAW_EFFECTS[code]


# The table that the rules follow: effect, effect in an emergency, what lifts it.
EXPECTED = {
    "person.mismatch": "refuse refuse",
    "person.deceased": "refuse refuse",
    "person.replaced": "refuse refuse",
    "person.inactive": "hold hold review acknowledgement",
    "person.restricted": "hold hold review acknowledgement",
    "person.left": "hold warn review",
    "read.incomplete": "hold hold acknowledgement",
    "read.blind": "hold hold acknowledgement",
    "about.cancelled": "refuse warn review",
    "request.stale": "refuse refuse",
    "request.repeated": "hold warn review",
    "read.proxy-unknown": "warn note",
    "scope.recipient": "refuse refuse",
    "scope.not-care": "refuse refuse",
    "scope.research": "hold hold review",
    "record.unavailable": "hold warn",
    "proxy.link": "refuse refuse",
    "proxy.inactive": "refuse refuse",
    "proxy.denied": "refuse refuse",
    "proxy.no-basis": "refuse hold acknowledgement",
    "proxy.unclear": "hold hold review acknowledgement",
    "proxy.unknown-basis": "hold hold review acknowledgement",
    "proxy.unlisted-basis": "hold warn review",
    "proxy.age-review": "hold warn review",
    "proxy.capacity": "hold warn review",
    "proxy.capacity-unrecorded": "warn note review",
    "proxy.competence": "hold hold review acknowledgement",
    "proxy.scope": "hold warn review",
    "proxy.other-organisation": "hold warn review",
    "proxy.conflict": "hold hold review acknowledgement",
    "proxy.no-end": "warn note",
    "proxy.ends-soon": "warn note",
    "proxy.unnecessary": "warn note",
    "sensitive.proxy": "hold hold individual-check review acknowledgement",
    "sensitive.declined": "refuse refuse",
    "sensitive.shared": "hold warn review",
    "preference.ignored": "hold note practical-reason",
    "preference.unavailable": "warn note",
    "preference.no-telephone": "hold warn review",
    "preference.times": "note note",
    "accessible.unmet": "hold warn accessible-alternative review",
    "contact.unconfirmed": "note note",
    "contact.failed": "warn note",
    "contact.work": "warn note",
    "contact.several": "warn note",
    "contact.home": "warn note",
    "contact.none": "refuse refuse",
    "contact.unrecorded": "refuse hold acknowledgement",
    "contact.excluded": "refuse refuse",
    "contact.shared": "hold warn review",
    "contact.shared-plain": "warn note",
    "objection.safety": "refuse refuse",
    "objection.safety-by-proxy": "hold hold review acknowledgement",
    "objection.active": "refuse refuse override acknowledgement",
    "objection.pending": "hold warn review",
    "objection.unclear": "hold warn review",
    "objection.no-reason": "note note",
    "objection.other-organisation": "note note",
    "objection.by-proxy": "note note",
    "objection.conflict": "note note",
    "objection.expired": "note note",
    "objection.future": "note note",
    "objection.patient-on-proxy": "warn note",
    "override.invalid": "note note",
    "evidence.invalid": "note note",
    "confidential.necessity": "hold warn necessity review",
    "confidential.undeclared": "hold warn necessity review",
    "confidential.preview": "warn warn",
    "confidential.safer-wording": "note note",
    "suspicious.link-personal-data": "hold warn review",
    "suspicious.link": "warn warn",
    "suspicious.wording": "warn warn",
    "suspicious.sender": "warn warn",
    "platform.unapproved": "refuse warn",
    "platform.device": "refuse warn",
    "platform.data-class": "refuse warn",
    "emergency.invalid": "hold -",
    "emergency.latency": "- warn",
}


def test_every_card_has_the_effects_and_lifts_of_the_table() -> None:
    def row(card: Card) -> str:
        effects = [
            each.word if each is not None else "-" for each in (card.effect, card.in_emergency)
        ]
        return " ".join([*effects, *card.lifted_by])

    assert {card.code: row(card) for card in CARDS} == EXPECTED


@pytest.mark.parametrize("where", sorted({each.where for each in RULES if each.where}))
def test_the_fact_without_which_a_rule_is_not_asked_is_a_plain_yes_or_no(where: str) -> None:
    assert isinstance(getattr(a_case(), where), bool)
    assert getattr(Case, where).__doc__.startswith("Whether ")


@given(some.cases)
def test_a_rule_that_is_not_asked_would_have_found_nothing(case: Case) -> None:
    for each in RULES:
        if each.where is not None and not getattr(case, each.where):
            assert list(each.check(case)) == [], each.card.code
