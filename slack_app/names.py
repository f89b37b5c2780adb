"""How strangers and networks are called in Slack: nobody poses as Slack, as a colleague or as nobody.

A name from outside is cleaned and always shown with its network, "Name · Network".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from bridge.content import Origin
from slack_app.blocks import clip

MAX_USERNAME = 80
"""Longest name of a bot user in the app manifest schema; `username` of a post has no limit of its own."""
_MAX_NAME = 50
_MAX_CLEANED = 2_000
_SEPARATOR = " · "
_NOBODY = "Customer"

_NETWORKS: Mapping[str, tuple[str, str]] = {
    "facebook": ("Facebook", "blue_book"),
    "instagram": ("Instagram", "camera_with_flash"),
    "linkedin": ("LinkedIn", "briefcase"),
    "messenger": ("Messenger", "speech_balloon"),
    "pinterest": ("Pinterest", "pushpin"),
    "telegram": ("Telegram", "airplane"),
    "threads": ("Threads", "thread"),
    "tiktok": ("TikTok", "musical_note"),
    "twitter": ("X (Twitter)", "bird"),
    "viber": ("Viber", "telephone_receiver"),
    "vkontakte": ("VK", "globe_with_meridians"),
    "whatsapp": ("WhatsApp", "telephone_receiver"),
    "x": ("X (Twitter)", "bird"),
    "youtube": ("YouTube", "tv"),
    "zalo": ("Zalo", "left_speech_bubble"),
}
_UNKNOWN_ICON = "speech_balloon"


def network_name(provider: str) -> str:
    """Return what people call the network; one we do not know as Jollor calls it."""
    known = _NETWORKS.get(provider.strip().lower())
    return known[0] if known is not None else clip(_harmless(provider), 30) or "Unknown network"


def network_icon(provider: str) -> str:
    """Return the name of an emoji for the network, without colons."""
    known = _NETWORKS.get(provider.strip().lower())
    return known[1] if known is not None else _UNKNOWN_ICON


def person_name(name: str) -> str:
    """Return a stranger's name fit to be shown, never empty.

    The separator and a leading "@" are taken out, so that nothing in a name can look like a network or
    a mention.
    """
    return clip(_harmless(name).lstrip("@").strip(" -"), _MAX_NAME) or _NOBODY


def _harmless(name: str) -> str:
    return re.sub("[·•‧∙⋅・]+", "-", clean(name)).replace("<", "‹").replace(">", "›").strip(" -")


def username(author: str, provider: str, origin: Origin) -> str:
    """Return the name above a post, within Slack's limit, the network whole."""
    place = "Jollor" if origin is Origin.TEAM else network_name(provider)
    return person_name(author) + _SEPARATOR + clip(place, MAX_USERNAME - _MAX_NAME - len(_SEPARATOR))


def clean(text: str) -> str:
    """Return `text` on one line, without what cannot be seen: controls, direction overrides, zero widths.

    For names and other short texts: what is beyond 2,000 characters is left out.
    """
    text = text[:_MAX_CLEANED]
    if not (text.isascii() and text.isprintable()):
        text = "".join(_visible(text, index) for index in range(len(text)))
    return " ".join(text.split())


def clean_text(text: str) -> str:
    """Return `text` as a body: line breaks and tabs stay, direction overrides and controls go.

    Zero-width joiners stay (scripts need them), lone surrogates become "�": they cannot be sent at all.
    """
    return _UNSEEN.sub("", _SURROGATE.sub("�", _LINE_END.sub("\n", text)))


_LINE_END = re.compile("\r\n|[\r\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_JOINER = "\u200d"
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Letters and marks that show as nothing: names made of them would look empty.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")


def _visible(text: str, index: int) -> str:
    """Return the character if it shows, a space for other spaces, else nothing."""
    char = text[index]
    if char.isspace():
        return " "
    if char == _JOINER:  # holds an emoji of several figures together
        is_within = (
            0 < index < len(text) - 1 and _is_pictorial(text[index - 1]) and _is_pictorial(text[index + 1])
        )
        return char if is_within else ""
    return "" if unicodedata.category(char) in _INVISIBLE or char in _BLANKS else char


def _is_pictorial(char: str) -> bool:
    return char == "\ufe0f" or unicodedata.category(char) in ("So", "Sk", "Mn")
