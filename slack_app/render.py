"""Draws what the bridge has to say: every `Content` becomes a message within all of Slack's limits.

What a customer or Jollor wrote goes into rich or plain text, which Slack never parses; only `PostCard.mrkdwn`
is markup. The top-level `text` is escaped and says everything again, for notifications and screen readers.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from bridge.content import (
    Card,
    ChannelPicker,
    Content,
    Context,
    DialogueLine,
    Line,
    Lines,
    Notice,
    PostCard,
    ProfileAlert,
    ProjectsAnswer,
    StatusAnswer,
    TraceAnswer,
)
from slack_app.blocks import RenderedMessage
from slack_app.views.alert import profile_alert
from slack_app.views.card import conversation_card, post_card
from slack_app.views.notice import notice
from slack_app.views.picker import channel_picker
from slack_app.views.projects import projects_answer
from slack_app.views.status import status_answer
from slack_app.views.trace import trace_answer
from slack_app.views.transcript import dialogue_line, earlier_messages, transcript_line, transcript_lines


def render(
    content: Content, *, now: datetime, is_possible_repeat: bool = False, has_own_name: bool = True
) -> RenderedMessage:
    """Return `content` as a message.

    `now` tells which lines are late. `is_possible_repeat` marks a line that Slack may hold already;
    `has_own_name` False puts a line's author into the message (no scope `chat:write.customize`).
    """
    match content:
        case Card():
            return conversation_card(content)
        case PostCard():
            return post_card(content)
        case Context():
            return earlier_messages(content)
        case Line():
            return transcript_line(
                content, now=now, is_possible_repeat=is_possible_repeat, has_own_name=has_own_name
            )
        case Lines():
            return transcript_lines(
                content, now=now, is_possible_repeat=is_possible_repeat, has_own_name=has_own_name
            )
        case Notice():
            return notice(content)
        case DialogueLine():
            return dialogue_line(content)
        case ProfileAlert():
            return profile_alert(content)
        case ProjectsAnswer():
            return projects_answer(content)
        case StatusAnswer():
            return status_answer(content)
        case TraceAnswer():
            return trace_answer(content)
        case ChannelPicker():
            return channel_picker(content)
        case _:
            assert_never(content)
