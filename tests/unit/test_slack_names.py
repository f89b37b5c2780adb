"""Names of strangers: always with their network, never somebody else's, never invisible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.content import Origin
from slack_app.names import clean, clean_text, network_icon, network_name, person_name, username


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("facebook", "Facebook"),
        ("INSTAGRAM", "Instagram"),
        ("twitter", "X (Twitter)"),
        ("zalo", "Zalo"),
        ("mastodon", "mastodon"),
        ("", "Unknown network"),
        ("\u202e", "Unknown network"),
    ],
)
def test_networks_are_called_as_people_call_them(provider: str, name: str) -> None:
    assert network_name(provider) == name


def test_every_network_has_an_icon() -> None:
    assert network_icon("facebook") == "blue_book"
    assert network_icon("mastodon") == "speech_balloon"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Maria", "Maria"),
        ("  Maria \n Lopez ", "Maria Lopez"),
        ("", "Customer"),
        ("\u200b\u2060\ufeff", "Customer"),
        ("\u3164\u2800", "Customer"),
        ("Ma\u202eria\u202c", "Maria"),
        ("@here", "here"),
        ("Anna · Slack", "Anna - Slack"),
        ("• Slackbot ・", "Slackbot"),
        ("<!channel>", "‹!channel›"),
        ("👩‍💻 Dev", "👩‍💻 Dev"),
        ("a\u200db", "ab"),
        ("x\x00y\x1b", "xy"),
        ("Zoë Müller", "Zoë Müller"),
    ],
)
def test_a_name_is_shown_without_what_could_deceive(written: str, shown: str) -> None:
    assert person_name(written) == shown


@given(st.text(), st.text(), st.sampled_from(Origin))
def test_a_name_above_a_post_is_short_whole_and_ends_with_its_network(
    author: str, provider: str, origin: Origin
) -> None:
    name = username(author, provider, origin)
    assert len(name) <= 80
    assert name.count(" · ") == 1
    assert name.split(" · ")[0].strip()
    assert name.split(" · ")[1].strip()
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Co") for char in name)
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200b<>\n") & set(name)


@given(st.text())
def test_a_cleaned_name_is_one_line_and_stays_clean(text: str) -> None:
    once = clean(text)
    assert "\n" not in once
    assert clean(once) == once


@given(st.text(alphabet=st.characters()))
def test_a_cleaned_body_can_be_sent_and_keeps_its_lines(text: str) -> None:
    body = clean_text(text)
    body.encode()
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x00\r") & set(body)
    assert clean_text("a\r\nb\rc\n\td") == "a\nb\nc\n\td"


def test_a_lone_surrogate_becomes_a_sign_that_can_be_sent() -> None:
    assert clean_text("a\ud800b") == "a�b"
