"""A Slack in memory behind the `Chat` port: posts, threads and marks are state, failures are scripted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from bridge.content import Content, Lines
from bridge.errors import CannotTell, PermanentError, TargetDown
from bridge.events import LineTyped
from bridge.ids import ChannelId, MessageTs, TeamId, UserId, ts_order
from bridge.model import Channel, Clock, Mark, Person, Reading
from bridge.ports import ChannelThreads, Outgoing, Posted, ThreadLines, ThreadNews

SHORT_PAGE = 15
"""Messages in a page of an install that may read little."""


class When(StrEnum):
    """When a scripted failure strikes."""

    BEFORE = "before"  # no effect
    AFTER = "after"  # it took effect, the caller does not learn of it


@dataclass
class FakePost:
    """A message of the bridge's as it stands in a channel now."""

    ts: MessageTs
    outgoing: Outgoing
    thread_ts: MessageTs | None
    updates: int = 0

    @property
    def content(self) -> Content:
        return self.outgoing.content

    @property
    def text(self) -> str:
        """The content's text, "" for what has none; that of joined messages a line each."""
        if isinstance(self.content, Lines):
            return "\n".join(line.text for line in self.content.lines)
        return str(getattr(self.content, "text", ""))


@dataclass
class Whisper:
    """What one person was shown."""

    team: TeamId
    channel: ChannelId
    user: UserId
    content: Content
    thread_ts: MessageTs | None


@dataclass
class Answer:
    """What went through a `response_url`."""

    response_url: str
    content: Content
    replace: bool


@dataclass
class _Failure:
    error: Exception
    method: str | None
    when: When


@dataclass
class FakeChat:
    """Implements `bridge.ports.Chat`. Channels and people are unknown until they are added."""

    now: Clock = field(default=lambda: datetime.now(UTC))
    posts: list[FakePost] = field(default_factory=list)
    marks: dict[tuple[ChannelId, MessageTs], set[Mark]] = field(default_factory=dict)
    whispers: list[Whisper] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    away: Exception | None = None
    """While this is set, every call raises it and nothing takes effect."""
    can_look_back: bool = True
    can_join: bool = True
    _channels: dict[ChannelId, Channel] = field(default_factory=dict)
    _people: dict[UserId, Person] = field(default_factory=dict)
    reads: Reading = Reading.FULL
    """RESTRICTED: pages of 15; that there is only one a minute is for tests to script (`fail_next`)."""
    _lines: set[tuple[ChannelId, MessageTs]] = field(default_factory=set)
    _typed: dict[tuple[ChannelId, MessageTs], LineTyped] = field(default_factory=dict)
    _failures: deque[_Failure] = field(default_factory=deque)
    _last_ts: int = 0

    # --- setting the scene ---------------------------------------------------------------------------

    def add_channel(self, channel: Channel) -> Channel:
        self._channels[channel.id] = channel
        return channel

    def change_channel(
        self, channel: ChannelId, *, is_archived: bool | None = None, is_member: bool | None = None
    ) -> None:
        known = self._channels[channel]
        self._channels[channel] = replace(
            known,
            is_archived=known.is_archived if is_archived is None else is_archived,
            is_member=known.is_member if is_member is None else is_member,
        )

    def add_person(self, person: Person) -> Person:
        self._people[person.id] = person
        return person

    def add_line(self, channel: ChannelId) -> MessageTs:
        """A person wrote something; returns its `ts`."""
        ts = self._new_ts()
        self._lines.add((channel, ts))
        return ts

    def say(
        self,
        team: TeamId,
        channel: ChannelId,
        user: UserId,
        text: str,
        *,
        thread_ts: MessageTs | None,
        **more: object,
    ) -> LineTyped:
        """A person typed a line; returns what an event would tell of it."""
        told: dict[str, object] = {
            "team_id": team,
            "channel_id": channel,
            "ts": self.add_line(channel),
            "thread_ts": thread_ts,
            "user_id": user,
            "text": text,
            "received_at": self.now(),
        }
        line = LineTyped.model_validate(told | more)
        self._lines.add((channel, MessageTs(line.ts)))
        self._typed[channel, MessageTs(line.ts)] = line
        return line

    def edit(self, channel: ChannelId, ts: MessageTs, text: str) -> MessageTs:
        """Its writer changed a line; returns when, as Slack tells it."""
        edited = self._new_ts()
        change = {"text": text, "edited_ts": edited}
        self._typed[channel, ts] = self._typed[channel, ts].model_copy(update=change)
        return edited

    def remove(self, channel: ChannelId, ts: MessageTs) -> None:
        """A person deleted a message, be it theirs or the bridge's."""
        self._lines.discard((channel, ts))
        self._typed.pop((channel, ts), None)
        self.posts = [post for post in self.posts if (post.outgoing.channel, post.ts) != (channel, ts)]

    def fail_next(
        self, error: Exception, *, method: str | None = None, when: When = When.BEFORE, times: int = 1
    ) -> None:
        """Let the next call (of `method`, if given) raise `error`."""
        self._failures.extend(_Failure(error, method, when) for _ in range(times))

    # --- looking -------------------------------------------------------------------------------------

    def thread(self, root: MessageTs) -> list[FakePost]:
        """The bridge's posts in a thread, the root first."""
        return [post for post in self.posts if root in (post.ts, post.thread_ts)]

    def roots(self, channel: ChannelId) -> list[FakePost]:
        return [post for post in self.posts if post.outgoing.channel == channel and post.thread_ts is None]

    def marks_of(self, channel: ChannelId, ts: MessageTs) -> set[Mark]:
        return set(self.marks.get((channel, ts), ()))

    # --- the port ------------------------------------------------------------------------------------

    async def post(self, outgoing: Outgoing) -> Posted:
        failure = self._begin("post")
        self._need_open(outgoing.team, outgoing.channel)
        thread = outgoing.thread_ts if self._exists(outgoing.channel, outgoing.thread_ts) else None
        post = FakePost(self._new_ts(), outgoing, thread)
        self.posts.append(post)
        self._end(failure)
        return Posted(post.ts, post.thread_ts)

    async def update(self, team: TeamId, channel: ChannelId, ts: MessageTs, outgoing: Outgoing) -> None:
        failure = self._begin("update")
        self._need_open(team, channel)
        post = self._our_post(channel, ts)
        if post is None:
            raise PermanentError("message_not_found", user_message="That message is gone.")
        post.outgoing = replace(post.outgoing, content=outgoing.content)
        post.updates += 1
        self._end(failure)

    async def delete(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> None:
        failure = self._begin("delete")
        if self._our_post(channel, ts) is not None:
            self.remove(channel, ts)
        self._end(failure)

    async def add_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        failure = self._begin("add_mark")
        self._need_open(team, channel)
        if not self._exists(channel, ts):
            raise PermanentError("message_not_found", user_message="That message is gone.")
        self.marks.setdefault((channel, ts), set()).add(mark)
        self._end(failure)

    async def remove_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        failure = self._begin("remove_mark")
        self.marks.get((channel, ts), set()).discard(mark)
        self._end(failure)

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Posted | None:
        failure = self._begin("find")
        if not self.can_look_back:
            raise CannotTell("missing_scope")
        self._end(failure)
        for post in self.posts:
            if post.outgoing.id == outgoing.id and post.outgoing.channel == outgoing.channel:
                return Posted(post.ts, post.thread_ts)
        return None

    async def threads(self, team: TeamId, channel: ChannelId) -> ChannelThreads:
        failure = self._begin("threads")
        self._need_open(team, channel)
        self._end(failure)
        roots = sorted((post.ts for post in self.roots(channel)), key=ts_order, reverse=True)
        is_cut = self.reads is Reading.RESTRICTED and len(roots) > SHORT_PAGE
        shown = roots[:SHORT_PAGE] if is_cut else roots
        news = [ThreadNews(root, replies[-1]) for root in shown if (replies := self._replies(channel, root))]
        return ChannelThreads(tuple(news), shown[-1] if is_cut else None, self.reads if is_cut else None)

    async def lines(
        self, team: TeamId, channel: ChannelId, root: MessageTs, *, since: MessageTs
    ) -> ThreadLines | None:
        failure = self._begin("lines")
        self._need_open(team, channel)
        self._end(failure)
        if not self._exists(channel, root):
            return None
        page = [ts for ts in self._replies(channel, root) if ts_order(ts) > ts_order(since)]
        is_cut = self.reads is Reading.RESTRICTED and len(page) > SHORT_PAGE
        page = page[:SHORT_PAGE] if is_cut else page
        typed = [self._typed[channel, ts] for ts in page if (channel, ts) in self._typed]
        found = tuple(self._as_found(line) for line in typed)
        return ThreadLines(
            found, frozenset(page), page[-1] if is_cut else None, self.reads if is_cut else None
        )

    async def whisper(
        self,
        team: TeamId,
        channel: ChannelId,
        user: UserId,
        content: Content,
        *,
        thread_ts: MessageTs | None = None,
    ) -> None:
        failure = self._begin("whisper")
        self._need_open(team, channel)
        self.whispers.append(Whisper(team, channel, user, content, thread_ts))
        self._end(failure)

    async def answer(self, response_url: str, content: Content, *, replace: bool = False) -> None:
        failure = self._begin("answer")
        self.answers.append(Answer(response_url, content, replace))
        self._end(failure)

    async def person(self, team: TeamId, user: UserId) -> Person:
        self._end(self._begin("person"))
        return self._people.get(user) or Person(id=user, name="someone", is_outsider=True)

    async def channel(self, team: TeamId, channel: ChannelId) -> Channel:
        self._end(self._begin("channel"))
        return self._known(team, channel)

    async def join(self, team: TeamId, channel: ChannelId) -> None:
        failure = self._begin("join")
        known = self._channels.get(channel)
        if known is None or known.is_private or known.is_archived or not self.can_join:
            raise PermanentError("channel_not_found", user_message="Invite me there with /invite.")
        self._channels[channel] = replace(known, is_member=True)
        self._end(failure)

    async def find_channel(self, team: TeamId, name: str) -> Channel | None:
        self._end(self._begin("find_channel"))
        wanted = name.strip().removeprefix("#").lower()
        open_ones = (channel for channel in self._channels.values() if not channel.is_archived)
        return next((channel for channel in open_ones if channel.name == wanted), None)

    async def permalink(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> str | None:
        self._end(self._begin("permalink"))
        return f"https://{team}.example/{channel}/{ts}" if self._exists(channel, ts) else None

    # --- inside --------------------------------------------------------------------------------------

    def _begin(self, method: str) -> _Failure | None:
        self.calls.append(method)
        if self.away is not None:
            raise self.away
        for failure in self._failures:
            if failure.method in (None, method):
                self._failures.remove(failure)
                if failure.when is When.BEFORE:
                    raise failure.error
                return failure
        return None

    @staticmethod
    def _end(failure: _Failure | None) -> None:
        if failure is not None:
            raise failure.error

    def _new_ts(self) -> MessageTs:
        self._last_ts = max(self._last_ts + 1, int(self.now().timestamp() * 1_000_000))
        return MessageTs(f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}")

    def _replies(self, channel: ChannelId, root: MessageTs) -> list[MessageTs]:
        """What stands below a root, oldest first."""
        ours = (p.ts for p in self.posts if p.outgoing.channel == channel and p.thread_ts == root)
        theirs = (
            ts for (place, ts), line in self._typed.items() if (place, line.thread_ts) == (channel, root)
        )
        return sorted((*ours, *theirs), key=ts_order)

    def _as_found(self, line: LineTyped) -> LineTyped:
        mark = next(iter(self.marks_of(ChannelId(line.channel_id), MessageTs(line.ts))), None)
        return line.model_copy(update={"is_found": True, "received_at": self.now(), "mark": mark})

    def _known(self, team: TeamId, channel: ChannelId) -> Channel:
        known = self._channels.get(channel)
        if known is None:
            raise _closed("channel_not_found", team, channel)
        return known

    def _need_open(self, team: TeamId, channel: ChannelId) -> None:
        known = self._known(team, channel)
        if known.is_archived:
            raise _closed("is_archived", team, channel)
        if not known.is_member:
            raise _closed("not_in_channel", team, channel)

    def _exists(self, channel: ChannelId, ts: MessageTs | None) -> bool:
        return ts is not None and ((channel, ts) in self._lines or self._our_post(channel, ts) is not None)

    def _our_post(self, channel: ChannelId, ts: MessageTs) -> FakePost | None:
        return next((p for p in self.posts if (p.outgoing.channel, p.ts) == (channel, ts)), None)


def _closed(code: str, team: TeamId, channel: ChannelId) -> TargetDown:
    return TargetDown(code, target=f"channel:{team}:{channel}", user_message="I cannot post in that channel.")
