"""The methods of the Web API: names, rate-limit tiers, scopes, and what each does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.slack.calls import ApiCall
from sandbox.slack.methods import chat, conversations, people, reactions, views
from sandbox.slack.model import Json


@dataclass(frozen=True)
class Method:
    """`tier` None means a special limit; `scopes` are alternatives, those that depend on the channel come
    later."""

    act: Callable[[ApiCall], Json]
    tier: int | None
    scopes: tuple[str, ...] = ()


_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")

METHODS: Final[dict[str, Method]] = {
    "auth.test": Method(people.auth_test, None),
    "bots.info": Method(people.bots_info, 3, ("users:read",)),
    "chat.delete": Method(chat.delete, 3, ("chat:write",)),
    "chat.getPermalink": Method(chat.get_permalink, None),
    "chat.postEphemeral": Method(chat.post_ephemeral, 4, ("chat:write",)),
    "chat.postMessage": Method(chat.post_message, None, ("chat:write",)),
    "chat.update": Method(chat.update, 3, ("chat:write",)),
    "conversations.history": Method(conversations.history, 3, _HISTORY),
    "conversations.info": Method(conversations.info, 3, _READ),
    "conversations.join": Method(conversations.join, 3, ("channels:join",)),
    "conversations.list": Method(conversations.list_channels, 2, _READ),
    "conversations.members": Method(conversations.members, 4, _READ),
    "conversations.open": Method(conversations.open_direct, 3, ("im:write", "mpim:write")),
    "conversations.replies": Method(conversations.replies, 3, _HISTORY),
    "files.info": Method(people.files_info, 4, ("files:read",)),
    "reactions.add": Method(reactions.add, 3, ("reactions:write",)),
    "reactions.get": Method(reactions.get, 3, ("reactions:read",)),
    "reactions.remove": Method(reactions.remove, 2, ("reactions:write",)),
    "team.info": Method(people.team_info, 3, ("team:read",)),
    "users.conversations": Method(conversations.of_user, 3, _READ),
    "users.info": Method(people.users_info, 4, ("users:read",)),
    "users.list": Method(people.users_list, 2, ("users:read",)),
    "views.open": Method(views.open_modal, 4),
    "views.publish": Method(views.publish, 4),
    "views.push": Method(views.push, 4),
    "views.update": Method(views.update, 4),
}
