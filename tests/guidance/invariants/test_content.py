"""What holds of the words: a plain message is sent, and no wording makes a service plain."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import Content, SendRequest
from fhirmsg.guidance.terms import Channel, Declared, Occasion
from tests.builders import a_case, verdict_of
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import asking, said, weight


# 9
@given(
    some.clear_requests,
    st.sampled_from(some.PLAIN_TEXTS),
    st.sampled_from(Occasion),
    st.sampled_from(Declared),
)
def test_a_living_patient_needs_no_consent(
    request: SendRequest, body: str, occasion: Occasion, sensitive: Declared
) -> None:
    service = replace(request.service, sensitive=sensitive)
    plain = replace(request, content=Content(body=body), occasion=occasion, service=service)
    assert verdict_of(a_case(request=plain, policy=some.POLICY)) == "send"


# What the words themselves give away or look like, and where that matters.
OF_WORDS = frozenset(
    {
        "confidential.necessity",
        "confidential.undeclared",
        "confidential.preview",
        "confidential.safer-wording",
        "suspicious.link-personal-data",
        "suspicious.link",
        "suspicious.wording",
        "suspicious.sender",
        "contact.shared",
        "contact.shared-plain",
    }
)


# 28
@given(some.bare_cases, st.one_of(st.sampled_from(some.TEXTS), st.builds(Content, body=st.text())))
def test_the_words_of_a_message_change_nothing_but_what_is_said_of_words(
    case: Case, content: Content
) -> None:
    other = decide(asking(case, content=content))
    assert said(other, leaving_out=OF_WORDS) == said(decide(case), leaving_out=OF_WORDS)


# 28
@given(some.bare_to_proxies, st.sampled_from(some.TEXTS))
def test_no_wording_lets_a_proxy_hear_of_a_service_that_may_be_sensitive(
    case: Case, content: Content
) -> None:
    service = replace(case.request.service, sensitive=Declared.YES)
    assert verdict_of(asking(case, service=service, content=content)) != "send"


# 27
@given(some.bare_cases)
def test_content_that_nobody_declared_weighs_as_much_as_confidential_content(case: Case) -> None:
    yes, unknown, no = (
        weight(asking(case, confidential=each))
        for each in (Declared.YES, Declared.UNKNOWN, Declared.NO)
    )
    assert yes == unknown >= no


@given(some.bare_cases, st.sampled_from(some.TEXTS), st.sampled_from(Channel))
def test_a_word_that_gives_something_away_never_makes_a_decision_lighter(
    case: Case, content: Content, channel: Channel
) -> None:
    if channel in case.platform.channels:
        case = asking(case, channel=channel)
    said_more = replace(content, body=f"{content.body} Your HIV test was positive.")
    before, after = asking(case, content=content), asking(case, content=said_more)
    # A neutral wording is offered where one is needed, and a text that is too long is said.
    assert weight(after) >= weight(before)
