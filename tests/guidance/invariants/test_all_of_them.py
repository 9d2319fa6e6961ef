"""The fifty statements that hold of every decision, and the tests that each of them has.

A number stands as a comment before each of its tests in this folder. What belongs to another
layer (reading FHIR, keeping the record, handing over) is tested there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

TABLE = {
    1: (
        "One more denial never weakens a decision.",
        "test_consents.py::test_a_denial_hung_anywhere_in_a_tree_never_weakens_its_answer",
        "test_consents.py::test_a_denial_hung_anywhere_in_a_consent_never_weakens_the_decision",
        "test_consents.py::test_one_more_denying_consent_never_weakens_the_decision",
    ),
    2: (
        "One more permission that names nobody else never weakens a message to the patient.",
        "test_consents.py::test_one_more_permission_that_names_nobody_else_never_weakens_a_message"
        "_to_the_patient",
    ),
    3: (
        "What was entered in error changes nothing.",
        "test_consents.py::test_a_consent_entered_in_error_changes_nothing",
    ),
    4: (
        "A grant that stops being active never weakens a decision.",
        "test_consents.py::test_a_grant_that_stops_being_active_never_weakens_the_decision",
    ),
    5: (
        "The order in which things are read makes no difference.",
        "test_reading.py::test_the_order_of_what_was_read_makes_no_difference",
        "test_reading.py::test_a_person_with_several_entries_is_one_in_whatever_order_they_come",
        "test_reading.py::test_of_two_entries_with_one_number_the_order_decides_nothing",
        "tests/fhir/test_reading_again.py::test_the_order_on_the_server_makes_no_difference",
    ),
    6: (
        "Pages of any size are decided alike, and a page that is missing holds.",
        "test_reading.py::test_a_page_that_could_not_be_read_holds_every_message",
        "tests/fhir/test_reading_again.py::test_pages_of_any_size_are_decided_alike",
        "tests/fhir/test_reading_again.py::test_a_page_that_is_missing_or_cut_off_never_sends",
        "tests/one_send/test_many_consents.py::"
        "test_a_second_page_that_answers_500_holds_and_sends_nothing",
    ),
    7: (
        "What is read twice counts once, in its newest version.",
        "test_reading.py::test_what_was_read_twice_counts_once",
        "test_reading.py::test_an_older_version_beside_a_newer_one_changes_nothing",
    ),
    8: (
        "The same facts give the same bytes.",
        "test_reading.py::test_the_same_facts_give_the_same_bytes",
    ),
    9: (
        "The patient needs no consent.",
        "test_content.py::test_a_living_patient_needs_no_consent",
    ),
    10: (
        "A proxy without any Consent never receives.",
        "test_proxies.py::test_a_proxy_without_any_consent_never_receives",
    ),
    11: (
        "A grant without one of its elements is none.",
        "test_proxies.py::test_a_single_grant_without_one_of_its_elements_never_lets_a_proxy"
        "_receive",
        "test_proxies.py::test_a_related_person_of_another_patient_never_receives",
    ),
    12: (
        "A grant to one proxy changes nothing for another.",
        "test_consents.py::test_a_grant_to_one_proxy_changes_nothing_for_another",
    ),
    13: (
        "A grant about one patient changes nothing for another.",
        "test_proxies.py::test_a_related_person_of_another_patient_never_receives",
        "test_proxies.py::test_a_grant_to_somebody_related_to_another_patient_makes_them_no_proxy"
        "_of_this_one",
        "tests/fhir/test_reader.py::test_somebody_elses_consent_is_a_gap_and_not_the_patients",
    ),
    14: (
        "A parent's position never improves as the child grows up.",
        "test_time.py::test_a_parents_position_never_improves_as_the_child_grows_up",
    ),
    15: (
        "The sixteenth birthday ends the parental ground and nothing else; a partial birth date "
        "is never more permissive.",
        "test_time.py::test_the_sixteenth_birthday_changes_the_basis_and_nothing_else",
        "test_time.py::test_a_partial_birth_date_is_never_more_permissive_than_a_day_within_it",
        "test_time.py::test_a_partial_birth_date_of_any_proxys_patient_is_never_more_permissive",
    ),
    16: (
        "Between two bounds nothing changes, and a last day counts whole.",
        "test_time.py::test_between_two_bounds_of_periods_the_decision_stays_the_same",
        "test_time.py::test_a_last_day_counts_whole_through_summer_time_and_winter_time",
        "test_time.py::test_a_last_day_of_an_assessment_or_an_approval_counts_whole",
    ),
    17: (
        "No evidence takes a final refusal away.",
        "test_evidence.py::test_no_evidence_takes_a_final_refusal_away",
        "test_evidence.py::test_an_override_leaves_every_final_refusal_as_it_is",
    ),
    18: (
        "Valid evidence never makes a decision heavier.",
        "test_evidence.py::test_valid_evidence_never_makes_a_decision_heavier",
        "test_evidence.py::test_a_valid_piece_more_never_makes_a_decision_heavier",
    ),
    19: (
        "An emergency never raises a finding.",
        "test_emergencies.py::test_an_emergency_never_makes_a_decision_heavier",
        "test_emergencies.py::test_an_emergency_never_raises_the_effect_of_a_finding",
        "test_emergencies.py::test_a_declaration_that_does_not_count_holds_and_changes_nothing"
        "_else",
    ),
    20: (
        "An emergency leaves what is refused for good refused.",
        "test_emergencies.py::test_an_emergency_leaves_what_is_refused_for_good_refused",
    ),
    21: (
        "An override touches objections in force and nothing else.",
        "test_evidence.py::test_an_override_touches_objections_in_force_and_nothing_else",
        "test_evidence.py::test_an_override_that_does_not_count_is_said_and_changes_nothing_else",
    ),
    22: (
        "Evidence for one message is none for another.",
        "test_evidence.py::test_an_override_of_one_message_is_no_override_of_another",
        "test_evidence.py::test_a_review_of_one_message_is_no_review_of_another",
    ),
    23: (
        "An override ends when an objection changes or another comes.",
        "test_evidence.py::test_an_override_ends_when_an_objection_changes_or_another_comes",
        "test_evidence.py::test_an_acknowledgement_ends_when_the_objection_changes",
    ),
    24: (
        "Text that says nothing lifts nothing.",
        "test_evidence.py::test_text_that_says_nothing_never_lifts_anything",
        "test_evidence.py::test_an_approver_who_is_not_named_approves_nothing",
    ),
    25: (
        "A preference never changes a refusal or lets an objected channel through.",
        "test_contact.py::test_a_preference_changes_nothing_but_what_is_said_of_preferences",
        "test_contact.py::test_a_preferred_channel_that_is_objected_to_is_refused_all_the_same",
    ),
    26: (
        "A practical reason touches the preference alone.",
        "test_evidence.py::test_a_practical_reason_touches_the_preference_and_nothing_else",
    ),
    27: (
        "Unknown sensitivity is never read as no; when it is left out, the request is wrong.",
        "test_proxies.py::test_unknown_sensitivity_weighs_as_much_as_yes_and_no_less_than_no",
        "test_proxies.py::test_a_proxy_never_hears_of_a_service_that_may_be_sensitive",
        "test_content.py::test_content_that_nobody_declared_weighs_as_much_as_confidential_content",
        "tests/web/test_parse.py::test_a_fault_is_named_by_its_pointer",
    ),
    28: (
        "No wording makes a service plain.",
        "test_content.py::test_the_words_of_a_message_change_nothing_but_what_is_said_of_words",
        "test_content.py::test_no_wording_lets_a_proxy_hear_of_a_service_that_may_be_sensitive",
    ),
    29: (
        "A restricted contact point is used for nobody, however it is written or reached.",
        "test_contact.py::test_a_contact_point_that_is_restricted_is_used_for_nobody",
        "test_contact.py::test_where_every_contact_point_is_restricted_nothing_is_ever_sent",
        "test_contact.py::test_a_platform_that_may_turn_to_a_restricted_telephone_is_not_used",
        "test_contact.py::test_a_number_that_a_denied_person_shares_is_not_used",
        "tests/fhir/test_contacts.py::test_one_number_is_one_value_however_it_is_written",
        "tests/fhir/test_contacts.py::test_one_address_is_one_value_however_its_domain_is_written",
    ),
    30: (
        "One more channel that may be reached never weakens a decision.",
        "test_contact.py::test_one_more_channel_a_platform_may_use_never_weakens_the_decision",
    ),
    31: (
        "A contact point is the same however it is written.",
        "tests/fhir/test_contacts.py::test_one_number_is_one_value_however_it_is_written",
        "tests/fhir/test_contacts.py::test_a_normal_number_stays_as_it_is",
        "tests/fhir/test_contacts.py::test_a_normal_address_stays_as_it_is",
    ),
    32: (
        "The contact point used is one of the recipient's own, or none.",
        "test_contact.py::test_the_contact_point_used_is_a_usable_one_of_those_there_are",
        "test_contact.py::test_the_contact_point_of_a_case_is_the_recipients_own_or_the_one_that"
        "_was_brought",
        "test_contact.py::test_removing_a_contact_point_that_is_not_used_changes_nothing",
        "test_contact.py::test_a_patient_without_contact_points_is_never_messaged",
    ),
    33: (
        "What is old or over is never used.",
        "test_contact.py::test_a_contact_point_that_becomes_old_or_ends_is_never_used",
        "test_contact.py::test_a_contact_point_that_is_over_never_comes_to_be_used",
    ),
    34: (
        "Somebody who has died is never messaged.",
        "test_contact.py::test_a_patient_who_has_died_is_never_messaged",
        "test_contact.py::test_a_patient_of_whom_nothing_says_so_has_not_died",
        "tests/fhir/test_people.py::test_a_patient_who_has_died_gets_no_message",
        "tests/fhir/test_people.py::test_a_patient_who_is_alive_gets_it",
    ),
    35: (
        "One entry for each message, and no message without one.",
        "tests/test_messenger.py::test_a_message_is_opened_sent_once_and_completed",
        "tests/test_messenger.py::test_what_is_decided_against_is_not_opened",
        "tests/test_messenger.py::"
        "test_nothing_leaves_before_the_entry_is_open_and_the_record_read_again",
        "tests/one_send/test_crash.py::"
        "test_killed_before_the_hand_off_the_message_is_sent_once_by_the_retry",
        "tests/one_send/test_crash.py::"
        "test_killed_after_the_hand_off_the_record_is_completed_and_nothing_is_sent_again",
        "tests/one_send/test_crash.py::"
        "test_killed_while_mailing_the_record_says_unknown_and_nothing_is_sent_again",
    ),
    36: (
        "One key is sent at most once.",
        "tests/one_send/test_parallel.py::"
        "test_one_key_sent_sixteen_times_at_once_leaves_as_one_message",
        "tests/test_messenger_again.py::"
        "test_a_message_that_was_handed_off_is_answered_and_not_sent_again",
        "tests/test_messenger_again.py::test_a_key_that_is_bound_to_another_message_is_refused",
        "tests/test_messenger_again.py::test_a_message_that_was_not_sent_binds_its_key_to_nothing",
    ),
    37: (
        "The record is that of the patient, never the proxy's.",
        "tests/fhir/test_communication.py::test_a_message_to_a_proxy_is_filed_under_the_patient",
    ),
    38: (
        "No contact detail, reason or text shows where it must not.",
        "test_evidence.py::test_no_finding_repeats_a_contact_detail_a_reason_or_the_words",
        "tests/one_send/test_canary.py::test_nothing_of_a_patient_stands_in_a_log_line_or_an_error",
        "tests/test_messenger.py::test_the_audit_line_names_codes_and_never_words",
        "tests/fhir/test_log_settle.py::test_a_refusal_is_noted_without_its_text_and_reason",
    ),
    39: (
        "The decision on the fresh read before the hand-off is the one that counts.",
        "tests/test_messenger.py::"
        "test_the_second_decision_is_the_one_that_is_recorded_and_answered",
        "tests/test_messenger.py::test_an_objection_between_the_two_looks_stops_the_message",
        "tests/one_send/test_objections_in_time.py::"
        "test_an_objection_written_between_the_first_read_and_the_hand_off_stops_it",
    ),
    40: (
        "An emergency leaves one open follow-up that lists all it lowered.",
        "test_emergencies.py::test_what_an_emergency_lowered_is_listed_and_nothing_else",
        "tests/test_messenger_outcomes.py::"
        "test_an_emergency_is_opened_with_a_review_of_what_it_lowered",
        "tests/test_messenger_outcomes.py::"
        "test_the_review_is_of_the_decision_that_the_message_went_out_on",
        "tests/test_messenger_outcomes.py::"
        "test_a_review_is_for_the_roles_that_review_other_than_the_declarers_own",
        "tests/fhir/test_log_emergency.py::"
        "test_the_entry_and_its_review_are_opened_in_one_transaction",
        "tests/fhir/test_log_emergency.py::"
        "test_a_lost_answer_to_the_transaction_leaves_one_of_each",
    ),
    41: (
        "What is not sent says what would clear it and whom to ask.",
        "test_policy.py::test_whatever_is_not_sent_has_a_finding_that_says_whom_to_ask",
    ),
    42: (
        "What is not understood never lets a message go.",
        "test_consents.py::test_an_objection_that_is_not_understood_never_lets_a_message_go",
        "test_consents.py::test_a_bare_denial_that_is_not_understood_never_lets_a_message_go",
        "test_consents.py::test_a_grant_that_is_not_understood_never_lets_a_proxy_receive",
        "test_consents.py::test_a_denial_of_a_person_that_is_not_understood_never_lets_their"
        "_number_be_used",
        "tests/fhir/test_consents_limits.py::"
        "test_an_objection_with_anything_else_in_the_place_of_one_value_lets_nothing_through",
    ),
    43: (
        "A person is the same under each of their names.",
        "test_reading.py::test_a_person_is_the_same_under_each_of_their_keys",
        "tests/fhir/test_elements.py::test_a_literal_reference_is_the_same_however_it_is_written",
        "tests/fhir/test_consents_grants.py::"
        "test_the_proxy_is_the_same_however_the_reference_is_written",
    ),
    44: (
        "http and https are one in the name of a code system.",
        "tests/fhir/test_consents_grants.py::test_http_and_https_are_one",
        "tests/fhir/test_consents_grants.py::"
        "test_whatever_mixture_of_ways_it_is_written_in_it_means_the_same",
    ),
    45: (
        "Consents about something else change nothing.",
        "test_consents.py::test_a_consent_about_research_treatment_or_advance_decisions_changes"
        "_nothing",
    ),
    46: (
        "A finding goes with the fact that raised it, and takes no other along.",
        "test_consents.py::test_taking_an_objection_away_takes_its_findings_away_and_no_others",
        "test_reading.py::test_taking_a_fact_away_takes_its_findings_away_and_no_others",
    ),
    47: (
        "What was stored is decided again to the same result.",
        "test_reading.py::test_facts_that_were_stored_are_decided_again_to_the_same_receipt",
        "tests/fhir/test_reading_again.py::"
        "test_answers_that_were_stored_are_decided_again_without_the_server",
    ),
    48: (
        "A stricter policy never weakens a decision.",
        "test_policy.py::test_a_stricter_policy_never_weakens_the_decision",
        "test_policy.py::test_a_platform_approved_for_less_never_weakens_the_decision",
    ),
    49: (
        "In an emergency nothing is graver, and what is final has no lift.",
        "test_policy.py::test_in_an_emergency_nothing_is_graver_and_what_is_final_has_no_lift",
    ),
    50: (
        "A grant less never weakens a decision, and evidence for another one never worsens it.",
        "test_consents.py::test_a_grant_less_never_weakens_the_decision",
        "test_consents.py::test_a_plain_grant_more_never_makes_the_decision_heavier",
        "test_consents.py::test_a_review_of_any_grant_never_makes_the_decision_heavier",
        "test_consents.py::test_a_flawed_grant_never_stands_before_one_that_was_reviewed",
        "test_consents.py::test_a_standing_review_of_any_grant_never_makes_the_decision_heavier",
        "test_consents.py::test_a_plain_grant_never_makes_a_decision_heavier_that_rests_on_a"
        "_reviewed_one",
    ),
}


def _tests_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def _numbered() -> Iterator[tuple[int, str]]:
    """Give every number before a test of this folder, and the test."""
    for path in sorted(HERE.glob("test_*.py")):
        text = path.read_text("utf-8")
        for found in re.finditer(r"^# ([\d, ]+)\n(?:[@ )].*\n)*def (\w+)", text, re.MULTILINE):
            for number in found.group(1).split(","):
                yield int(number), f"{path.name}::{found.group(2)}"


def test_there_are_fifty_of_them() -> None:
    assert sorted(TABLE) == list(range(1, 51))


@pytest.mark.parametrize("number", TABLE)
def test_each_one_is_tested_where_the_table_says(number: int) -> None:
    _, *tests = TABLE[number]
    for each in tests:
        file, _, name = each.partition("::")
        path = ROOT / file if "/" in file else HERE / file
        assert name in _tests_in(path), each


def test_each_test_of_this_folder_that_has_a_number_stands_in_the_table() -> None:
    missing = {each for each in _numbered() if each[1] not in TABLE[each[0]]}
    assert missing == set()
