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
    """Return `text` on one line, without what cannot be seen: controls, direction overrides, zero widths."""
    visible = "".join(
        char if _is_visible(text, index) else " " if char.isspace() else "" for index, char in enumerate(text)
    )
    return re.sub(r"\s+", " ", visible).strip()


def clean_text(text: str) -> str:
    """Return `text` as a body: line breaks and tabs stay, direction overrides and controls go.

    Zero-width joiners stay (scripts need them), lone surrogates become "�": they cannot be sent at all.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(_body_character(char) for char in text)


_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINER = "\u200d"


def _body_character(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cs":
        return "�"
    if char in _OVERRIDES or (category == "Cc" and char not in "\n\t"):
        return ""
    return char


def _is_visible(text: str, index: int) -> bool:
    char = text[index]
    if char == _JOINER:  # holds an emoji of several figures together
        return 0 < index < len(text) - 1 and _is_pictorial(text[index - 1]) and _is_pictorial(text[index + 1])
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char not in _BLANKS


def _is_pictorial(char: str) -> bool:
    return char == "\ufe0f" or unicodedata.category(char) in ("So", "Sk", "Mn")


# Letters and marks that show as nothing: names made of them would look empty.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
