"""Slack's emoji names and the characters that they stand for.

Slack names emoji after the iamcal/emoji-data set; the `emoji` library knows GitHub's and Unicode's names.
Where they differ there are rules (hyphens, gender words, flags, Unicode names) and a short table.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

import emoji

_PRESENTATION = "\ufe0f"
_TONES = {str(number): chr(0x1F3FB + number - 2) for number in range(2, 7)}
_CODE = re.compile(r":(?P<name>[a-z0-9_+'-]+):(?::skin-tone-(?P<tone>[2-6]):)?")

_RELATIVES = {"man": "👨", "woman": "👩", "boy": "👦", "girl": "👧"}
_FAMILY = re.compile("(?:(?:wo)?man-){1,2}(?:boy|girl)(?:-(?:boy|girl))?")

# What neither the library nor the rules below know.
_OWN_NAMES: dict[str, str] = {
    "simple_smile": "🙂",
    "smiling_face_with_3_hearts": "🥰",
    "the_horns": "🤘",
    "spock-hand": "🖖",
    "male-doctor": "👨‍⚕️",
    "female-doctor": "👩‍⚕️",
    "man-heart-man": "👨‍❤️‍👨",
    "woman-heart-woman": "👩‍❤️‍👩",
    "woman-heart-man": "👩‍❤️‍👨",
    "man-kiss-man": "👨‍❤️‍💋‍👨",
    "woman-kiss-woman": "👩‍❤️‍💋‍👩",
    "woman-kiss-man": "👩‍❤️‍💋‍👨",
    "bride_with_veil": "👰",
    "man_with_turban": "👳",
    "guardsman": "💂",
    "ok_woman": "🙆",
    "woman_with_beard": "🧔‍♀️",
    "man_with_beard": "🧔‍♂️",
    "red_haired_person": "🧑‍🦰",
    "curly_haired_person": "🧑‍🦱",
    "bald_person": "🧑‍🦲",
    "white_haired_person": "🧑‍🦳",
    "woman-with-bunny-ears-partying": "👯‍♀️",
    "women-with-bunny-ears-partying": "👯‍♀️",
    "man-with-bunny-ears-partying": "👯‍♂️",
    "men-with-bunny-ears-partying": "👯‍♂️",
    "woman-wrestling": "🤼‍♀️",
    "man-wrestling": "🤼‍♂️",
    "satellite": "🛰️",
    "egg": "🥚",
    "turkey": "🦃",
    "beetle": "🪲",
    "ladybug": "🐞",
    "umbrella": "☂️",
    "snowman": "☃️",
    "email": "✉️",
    "medal": "🎖️",
    "eject": "⏏️",
    "womans_flat_shoe": "🥿",
    "rain_cloud": "🌧️",
    "snow_cloud": "🌨️",
    "lightning": "🌩️",
    "lightning_cloud": "🌩️",
    "tornado_cloud": "🌪️",
    "mostly_sunny": "🌤️",
    "sun_small_cloud": "🌤️",
    "barely_sunny": "🌥️",
    "sun_behind_cloud": "🌥️",
    "partly_sunny_rain": "🌦️",
    "sun_behind_rain_cloud": "🌦️",
    "knife_fork_plate": "🍽️",
    "keycap_star": "*️⃣",
    "flag-england": "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "flag-scotland": "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "flag-wales": "🏴󠁧󠁢󠁷󠁬󠁳󠁿",
}


def to_character(name: str, tone: str | None = None) -> str | None:
    """Return the character of Slack's emoji `name`, None for a custom one. `tone` is "2" to "6"."""
    character = _plain_character(name)
    if character is None or tone is None:
        return character
    return _toned(character, _TONES.get(tone, ""))


def from_code_points(code: str) -> str | None:
    """Return the character of `unicode` in a rich-text emoji: hexadecimal numbers joined by hyphens."""
    try:
        return "".join(chr(int(number, 16)) for number in code.split("-")) or None
    except (ValueError, OverflowError):
        return None


def to_characters(text: str) -> str:
    """Replace each ":name:" in `text` that Slack would draw; custom emoji stay as they are."""
    return _CODE.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    name, tone = match["name"], match["tone"]
    if name.isdigit() and match.string[: match.start()][-1:].isdigit():
        return match.group()  # a time of day, "10:30:45"
    return to_character(name, tone) or match.group()


@lru_cache(maxsize=4096)
def _plain_character(name: str) -> str | None:
    if name in _OWN_NAMES:
        return _OWN_NAMES[name]
    if match := re.fullmatch(r"skin-tone-([2-6])", name):
        return _TONES[match[1]]
    if match := re.fullmatch(r"flag-([a-z]{2})", name):
        flag = "".join(chr(0x1F1E6 + ord(letter) - ord("a")) for letter in match[1])
        return flag if emoji.is_emoji(flag) else None
    if _FAMILY.fullmatch(name):
        return "\u200d".join(_RELATIVES[relative] for relative in name.split("-"))
    known = _by_library_name()
    for candidate in _spellings(name):
        if candidate in known:
            return known[candidate]
    return _by_unicode_name(name)


def _spellings(name: str) -> list[str]:
    """The ways in which the library may spell Slack's `name`."""
    underscored = name.replace("-", "_")
    words = re.sub(r"^male_", "man_", re.sub(r"^female_", "woman_", underscored))
    return [name, underscored, words]


def _by_unicode_name(name: str) -> str | None:
    """Many of Slack's names are Unicode's in small letters ("face_with_rolling_eyes")."""
    words = name.replace("_", " ").upper()
    for candidate in (words, words.replace("-", " ")):
        try:
            character = unicodedata.lookup(candidate)
        except KeyError:
            continue
        for form in (character + _PRESENTATION, character):
            if emoji.is_emoji(form):
                return form
    return None


@cache
def _by_library_name() -> dict[str, str]:
    """The library's names, most official last, so that it wins. Only fully qualified forms."""
    names: dict[str, str] = {}
    qualified = [
        (c, data) for c, data in emoji.EMOJI_DATA.items() if data["status"] == emoji.STATUS["fully_qualified"]
    ]
    for character, data in qualified:
        for alias in data.get("alias", ()):
            names[alias.strip(":").lower()] = character
    for character, data in qualified:
        names.setdefault(str(data["en"]).strip(":").lower(), character)
    return names


def _toned(character: str, tone: str) -> str:
    """Put the skin tone after the first figure; where that is no emoji, leave it out, as Slack does."""
    first, rest = character[0], character[1:].removeprefix(_PRESENTATION)
    toned = first + tone + rest
    return toned if emoji.is_emoji(toned) else character
