"""Slack's description of a user as the bridge's `Person`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.ids import TeamId, UserId
from bridge.model import Person
from slack_app.names import clean


def to_person(user: Mapping[str, Any], team: TeamId) -> Person:
    """Return the `user` of `users.info`. Who is not surely of `team` or its organisation is an outsider."""
    profile = user.get("profile")
    profile = profile if isinstance(profile, Mapping) else {}
    names = (profile.get("display_name"), profile.get("real_name"), user.get("real_name"), user.get("name"))
    return Person(
        id=UserId(str(user.get("id"))),
        name=next((clean(name) for name in names if isinstance(name, str) and clean(name)), "someone"),
        is_bot=user.get("is_bot") is True
        or user.get("is_workflow_bot") is True
        or user.get("id") == "USLACKBOT",
        is_guest=user.get("is_restricted") is True or user.get("is_ultra_restricted") is True,
        is_outsider=_is_outsider(user, team),
        is_admin=any(user.get(role) is True for role in ("is_admin", "is_owner", "is_primary_owner")),
    )


def stranger(user: UserId) -> Person:
    """Return somebody whom Slack does not show to the app: may read, may not answer customers."""
    return Person(id=user, name="someone", is_outsider=True)


def _is_outsider(user: Mapping[str, Any], team: TeamId) -> bool:
    if user.get("is_stranger") is True or user.get("is_external") is True:
        return True
    enterprise = user.get("enterprise_user")
    teams = enterprise.get("teams") if isinstance(enterprise, Mapping) else None
    return user.get("team_id") not in (None, team) and not (isinstance(teams, list) and team in teams)
