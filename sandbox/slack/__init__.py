"""A simulated Slack: Web API, Events API, Socket Mode, interactivity, and the people who use it."""

from sandbox.slack.model import Channel, Message, Team, User
from sandbox.slack.pacing import Limit, Limits
from sandbox.slack.people import NotPossible, Upload
from sandbox.slack.server import SimulatedSlack
from sandbox.slack.state import ALL_EVENTS, ALL_SCOPES, App, Ephemeral, Switches

__all__ = [
    "ALL_EVENTS",
    "ALL_SCOPES",
    "App",
    "Channel",
    "Ephemeral",
    "Limit",
    "Limits",
    "Message",
    "NotPossible",
    "SimulatedSlack",
    "Switches",
    "Team",
    "Upload",
    "User",
]
