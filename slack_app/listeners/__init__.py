"""What people do in Slack besides writing: commands, buttons, menus, shortcuts; stored, then acknowledged."""

from __future__ import annotations

from slack_bolt.async_app import AsyncApp

from bridge.ports import Inbox
from slack_app.clients import Clients
from slack_app.listeners.buttons import add_buttons
from slack_app.listeners.commands import add_commands
from slack_app.listeners.shortcuts import add_shortcuts


def add_listeners(app: AsyncApp, *, inbox: Inbox, clients: Clients) -> None:
    """Add all listeners to `app`."""
    add_commands(app, inbox=inbox)
    add_buttons(app, inbox=inbox, clients=clients)
    add_shortcuts(app, inbox=inbox, clients=clients)
