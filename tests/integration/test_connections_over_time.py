"""What becomes of links as time goes by: alerts, reminders, tokens, channels, answers, and what is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, func, insert, select, update

from bridge.connections import Connections
from bridge.content import ChannelPicker, Notice, ProfileAlert, ProjectsAnswer, StatusAnswer, from_json
from bridge.deliveries import channel_target, team_target
from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown
from bridge.events import (
    AppRemoved,
    ButtonPressed,
    ChannelState,
    CleanUp,
    CommandGiven,
    ProfileExpired,
    RemindOfAlerts,
    RenewTokens,
)
from bridge.ids import ChannelId, JobId, PostId, ProjectId, TeamId, UserId, new_id
from bridge.model import Channel, LinkKind, Person, Project, UndoWindow
from bridge.people import People, TeamFacts
from bridge.queries import Queries
from bridge.queue.jobs import Job, Jobs, NewJob
from bridge.relay.alerts import Alerts
from bridge.relay.cards import Cards
from bridge.relay.commands import Commands, link_words, undo_words
from bridge.relay.upkeep import Upkeep
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import (
    alerts,
    deliveries,
    jobs,
    kept_bodies,
    links,
    projects,
    teams,
    webhooks,
    workers,
)
from bridge.webhooks import Webhooks
from tests.fakes.chat import FakeChat

T, C, C2, P = TeamId("T1"), ChannelId("C0SUPPORT1"), ChannelId("C0ALARMS01"), ProjectId("P1")
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOWHERE = "https://slack.example/commands/1"


@dataclass
class Clock:
    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def passes(self, **more: float) -> None:
        self.at += timedelta(**more)


class Plain:
    """A cipher that hides nothing."""

    def encrypt(self, text: str) -> str:
        return text

    def decrypt(self, stored: str) -> str:
        return stored


@dataclass
class Town:
    """A linked project, and the parts that look after links."""

    store: Store
    clock: Clock
    chat: FakeChat = field(default_factory=FakeChat)

    def __post_init__(self) -> None:
        self.alerts = Alerts(self.store, Cards(dashboard_url="https://jollor.example"))
        self.queries = Queries(self.store, dashboard_url="https://jollor.example/")
        self.people = People(self.store, self.chat)
        self.social = AwaySocial()
        hooks = Webhooks(self.store, Jobs(self.store), Plain(), self.social, public_url=None)  # type: ignore[arg-type]
        self.connections = Connections(self.store, self.social, self.chat, hooks)  # type: ignore[arg-type]
        self.commands = Commands(
            self.chat, self.connections, self.people, self.queries, presses={}, now=self.clock
        )
        for channel, name in ((C, "support"), (C2, "alarms")):
            self.chat.add_channel(Channel(channel, name))
        self.chat.add_person(Person(UserId("U0ANNA"), "Anna", is_admin=True))
        self.chat.add_person(Person(UserId("U0BEN"), "Ben"))
        self.chat.add_person(Person(UserId("U0GUS"), "Gus", is_guest=True))
        self.chat.add_person(Person(UserId("U0BOT"), "Robo", is_bot=True))

    async def link(self, channel: ChannelId = C, kind: LinkKind = LinkKind.ALL) -> None:
        def link(conn: Connection) -> None:
            values = {"team": T, "project_id": P, "channel_id": channel, "kind": kind}
            conn.execute(insert(links).values(id=new_id(), linked_at=self.clock(), **values))

        await self.store.write(link)

    async def unlink(self, channel: ChannelId = C) -> None:
        gone = update(links).where(links.c.channel_id == channel).values(unlinked_at=self.clock())
        await self.store.write(lambda conn: conn.execute(gone).close())

    async def put(self, table: object, **values: object) -> None:
        await self.store.write(lambda conn: conn.execute(insert(table).values(**values)).close())  # type: ignore[arg-type]

    async def posted(self) -> list[tuple[str, bool]]:
        """Return where alerts are owed, and whether each is a reminder."""
        query = select(deliveries.c.channel_id, deliveries.c.content).order_by(deliveries.c.seq)
        rows = await self.store.read(lambda conn: conn.execute(query).all())
        contents = [(channel, from_json(content)) for channel, content in rows]
        return [(channel, c.is_reminder) for channel, c in contents if isinstance(c, ProfileAlert)]

    async def status(self, team: TeamId = T) -> dict[str, str]:
        answer = await self.queries.status(team)
        return {fact.label: fact.value for fact in answer.facts}

    async def health(self) -> str:
        (row,) = await self.queries.project_rows([Project(P, "Bakery")], T)
        return row.health

    def answered(self) -> list[str]:
        return [a.content.text for a in self.chat.answers if isinstance(a.content, Notice)]


class AwaySocial:
    """A Jollor that is away until told otherwise."""

    error: BridgeError | None = TargetDown(
        "jollor_unreachable", target="jollor", user_message="Jollor cannot be reached."
    )

    names: tuple[str, ...] = ("Bakery",)

    async def projects(self) -> Sequence[Project]:
        if self.error is not None:
            raise self.error
        return [Project(ProjectId(f"P{n}"), name) for n, name in enumerate(self.names, start=1)]

    async def incoming_posts(self, project: ProjectId) -> Sequence[PostId]:
        raise TargetDown("jollor_unreachable", target=f"project:{project}")

    async def webhook(self, project: ProjectId) -> None:
        raise TargetDown("jollor_unreachable", target=f"project:{project}")


@pytest.fixture
async def town(migrated_sqlite_url: str) -> AsyncIterator[Town]:
    clock = Clock()
    async with Store(migrated_sqlite_url, clock=clock) as store:
        town = Town(store, clock)
        await town.put(projects, id=P, name="Bakery", updated_at=START)
        await town.put(webhooks, project_id=P, secret="s", created_at=START, status="active")
        await town.put(workers, id="w", started_at=START, seen_at=START)
        yield town


def a_job(clock: Clock, event: object = None, id_: int = 1) -> Job:
    return Job(
        id=JobId(id_),
        event=event or CleanUp(),  # type: ignore[arg-type]
        lane=None,
        attempt=1,
        max_attempts=8,
        created_at=clock(),
        worker="w",
    )


# --- alerts ------------------------------------------------------------------------------------------


async def test_reminders_follow_the_links(town: Town) -> None:
    job = a_job(town.clock)
    await town.link()
    await town.alerts.profile_expired(ProfileExpired(project_id=P, at=town.clock()), job)
    assert await town.posted() == [(C, False)]
    town.clock.passes(hours=23)
    await town.alerts.remind(RemindOfAlerts(), job)
    assert len(await town.posted()) == 1, "not before a day is over"
    town.clock.passes(hours=1)
    for _ in range(2):
        await town.alerts.remind(RemindOfAlerts(), job)
    assert await town.posted() == [(C, False), (C, True)]
    # the project moved to another channel
    await town.unlink()
    await town.link(C2, LinkKind.ALERT)
    town.clock.passes(days=1)
    await town.alerts.remind(RemindOfAlerts(), job)
    assert await town.posted() == [(C, False), (C, True), (C2, True)]
    # nobody here wants to hear of it any more
    await town.unlink(C2)
    town.clock.passes(days=5)
    await town.alerts.remind(RemindOfAlerts(), job)
    assert len(await town.posted()) == 3


async def test_an_alert_older_than_its_row_is_still_taken_back_where_it_was_pressed(town: Town) -> None:
    job = a_job(town.clock)
    await town.link()
    await town.alerts.profile_expired(ProfileExpired(project_id=P, at=town.clock()), job)
    (alert,) = await town.store.read(lambda conn: conn.execute(select(alerts.c.id)).scalars().all())
    await town.store.write(lambda conn: conn.execute(deliveries.delete()).close())
    press = ButtonPressed(
        team_id=T,
        channel_id=C,
        user_id="U0BEN",
        action_id="mark_reconnected",
        value=alert,
        message_ts="1.000100",
    )
    for _ in range(2):
        await town.alerts.mark_reconnected(press, job)
    query = select(deliveries.c.act, deliveries.c.line_ts, deliveries.c.content)
    (row,) = await town.store.read(lambda conn: conn.execute(query).all())
    assert row[:2] == ("update", "1.000100")
    content = from_json(row.content)
    assert isinstance(content, ProfileAlert)
    assert content.cleared_by == "U0BEN"
    await town.alerts.mark_reconnected(press.model_copy(update={"value": "no such alert"}), job)


async def test_an_alert_that_is_being_posted_is_counted_a_moment_later(town: Town) -> None:
    job = a_job(town.clock)
    await town.link()
    event = ProfileExpired(project_id=P, at=town.clock())
    await town.alerts.profile_expired(event, job)
    await town.store.write(lambda conn: conn.execute(update(deliveries).values(state="sending")).close())
    with pytest.raises(Snooze):
        await town.alerts.profile_expired(event, a_job(town.clock, id_=2))
    count = select(alerts.c.count)
    assert await town.store.read(lambda conn: conn.execute(count).scalar()) == 1


# --- upkeep ------------------------------------------------------------------------------------------


def upkeep(town: Town, failures: Mapping[ProjectId, str]) -> Upkeep:
    async def keep_fresh(wanted: Sequence[ProjectId]) -> Mapping[ProjectId, str]:
        return {project: failures[project] for project in wanted if project in failures}

    return Upkeep(town.store, keep_fresh)


async def test_a_project_without_a_token_says_so_until_it_has_one(town: Town) -> None:
    job = a_job(town.clock)
    await town.link()
    await upkeep(town, {P: "Jollor gives us no token: check X."}).renew_tokens(RenewTokens(), job)
    assert await town.health() == "Jollor gives us no token: check X."
    assert (await town.status())["Bakery"] == "Jollor gives us no token: check X."
    await upkeep(town, {}).renew_tokens(RenewTokens(), job)
    assert await town.health() == "fine"


async def test_a_channel_that_closes_marks_its_links_until_it_is_open_again(town: Town) -> None:
    job = a_job(town.clock)
    await town.link()
    care = upkeep(town, {})

    async def happens(what: str) -> str:
        event = ChannelState.model_validate({"team_id": T, "channel_id": C, "what": what})
        await care.channel_state(event, job)
        return await town.health()

    assert "archived: unarchive it" in await happens("archived")
    assert "archived" in await happens("renamed"), "a name changes nothing"
    await town.store.write(
        lambda conn: pauses.pause(conn, channel_target(T, C), "is_archived: Closed.", START, 1.0)
    )
    assert await happens("unarchived") == "fine"
    assert not await town.store.read(pauses.current)
    assert "invite it again" in await happens("bot_left")
    assert await happens("bot_joined") == "fine"
    assert "deleted" in await happens("deleted")
    # somebody linked it again by hand: it was looked at
    town.social.error = None
    await town.connections.link(T, P, C)
    assert "deleted" not in await town.health()


async def test_an_app_that_was_removed_is_remembered_until_it_is_back(town: Town) -> None:
    await town.people.remember_team(TeamFacts(T, "Acme", "B1", "U0BOT"))
    await upkeep(town, {}).app_removed(AppRemoved(team_id=T), a_job(town.clock))
    problem = select(teams.c.problem)
    assert "removed" in (await town.store.read(lambda conn: conn.execute(problem).scalar()) or "")
    await town.people.remember_team(TeamFacts(T, "Acme", "B1", "U0BOT"))
    assert await town.store.read(lambda conn: conn.execute(problem).scalar()) is None
    assert [facts.name for facts in await town.people.known_teams()] == ["Acme"]


async def test_cleaning_up_keeps_what_may_be_asked_for(town: Town) -> None:
    queue = Jobs(town.store)
    await queue.receive([NewJob(CleanUp(), unique_key=key) for key in ("old", "dead", "new")], [("P", "?")])

    def finish(conn: Connection) -> None:
        for key, state, days in (("old", "completed", 8), ("dead", "discarded", 30), ("new", "completed", 6)):
            finished = START - timedelta(days=days)
            conn.execute(
                update(jobs).where(jobs.c.unique_key == key).values(state=state, finished_at=finished)
            )
        conn.execute(update(kept_bodies).values(received_at=START - timedelta(days=15)))

    await town.store.write(finish)
    await upkeep(town, {}).clean_up(CleanUp(), a_job(town.clock))
    keys = select(jobs.c.unique_key).order_by(jobs.c.id)
    assert await town.store.read(lambda conn: conn.execute(keys).scalars().all()) == ["dead", "new"]
    bodies = select(func.count()).select_from(kept_bodies)
    assert await town.store.read(lambda conn: conn.execute(bodies).scalar()) == 0


# --- what is shown -----------------------------------------------------------------------------------


async def test_pauses_are_told_in_words_and_only_to_those_they_concern(town: Town) -> None:
    await town.link()
    for target, reason in (
        (f"project:{P}", "jollor_down: Jollor is having trouble."),
        ("jollor", "jollor_unreachable: Jollor cannot be reached."),
        (channel_target(T, C), "I am not in that channel any more."),
        (team_target(T), "Slack does not answer at the moment."),
        (channel_target("T2", "C9"), "not for us"),
        (team_target("T2"), "not for us"),
    ):
        await town.store.write(lambda conn, t=target, r=reason: pauses.pause(conn, t, r, START, 1.0))  # type: ignore[misc]
    paused = {
        label.partition("UTC: ")[2]: value
        for label, value in (await town.status()).items()
        if label.startswith("Paused since 2026-11-23 12:00 UTC: ")
    }
    goes_on = " Nothing is lost: what waits is tried again at 12:00:02 UTC and goes on by itself."
    assert paused == {
        "Jollor for Bakery": "Jollor is having trouble." + goes_on,
        "Jollor": "Jollor cannot be reached." + goes_on,
        "a channel of Bakery": "I am not in that channel any more." + goes_on,
        "Slack": "Slack does not answer at the moment." + goes_on,
    }
    assert "paused since 12:00 UTC: Jollor is having trouble." in await town.health()
    assert "not for us" not in await town.health()


async def test_a_linked_project_that_the_account_lost_is_still_listed(town: Town) -> None:
    await town.link()
    rows = await town.queries.project_rows([Project(ProjectId("P2"), "Books")], T)
    assert [(row.name, row.health, row.is_healthy) for row in rows] == [
        ("Books", "not linked", True),
        ("Bakery", "the Jollor account does not see it any more", False),
    ]
    assert len(await town.queries.project_rows([], TeamId("T2"))) == 0


@pytest.mark.parametrize(
    ("state", "is_foreign", "words"),
    [
        ("disabled", False, "its webhook is disabled: link it again to switch it on"),
        ("being_made", False, "its webhook is not set up to the end: link it again"),
        ("unfinished", False, "its webhook is not set up to the end: link it again"),
        ("missing", False, "Jollor has no webhook for it any more: link it again"),
        ("replaced", False, "its webhook's secret was changed in Jollor: link it again"),
        ("active", True, "its webhook points elsewhere"),
        ("active", False, "fine"),
        (None, False, "fine"),
    ],
)
async def test_each_trouble_of_a_webhook_has_a_sentence(
    town: Town, state: str | None, is_foreign: bool, words: str
) -> None:
    await town.link()
    changed = update(webhooks).values(status=state, is_foreign=is_foreign)
    await town.store.write(lambda conn: conn.execute(changed).close())
    assert await town.health() == words


async def test_a_link_without_any_webhook_says_that_nothing_comes_in(town: Town) -> None:
    await town.link()
    await town.store.write(lambda conn: conn.execute(webhooks.delete()).close())
    assert await town.health() == "no webhook: nothing comes in"


# --- answers -----------------------------------------------------------------------------------------


def a_command(word: str, rest: str = "", user: str = "U0ANNA") -> CommandGiven:
    return CommandGiven(team_id=T, channel_id=C, user_id=user, word=word, rest=rest, response_url=NOWHERE)


async def test_a_command_is_tried_until_it_works_and_told_once_that_it_takes_longer(town: Town) -> None:
    await town.link()
    job = a_job(town.clock)
    for _ in range(3):
        with pytest.raises(Snooze):
            await town.commands.command_given(a_command("projects"), job)
    assert town.answered() == [
        "Jollor cannot be reached. I keep trying, and answer here as soon as it works."
    ]
    town.social.error = None
    await town.commands.command_given(a_command("projects"), job)
    assert isinstance(town.chat.answers[-1].content, ProjectsAnswer)


async def test_a_command_is_given_up_before_its_answer_could_not_be_given_any_more(town: Town) -> None:
    job = a_job(town.clock)
    town.clock.passes(minutes=26)
    await town.commands.command_given(a_command("projects"), job)
    assert town.answered() == ["That did not work: Jollor cannot be reached. Please ask again later."]


async def test_a_command_that_was_given_up_by_the_queue_is_told(town: Town) -> None:
    await town.commands.could_not_do(a_command("projects"), "Something broke on our side.")
    assert town.answered() == ["That did not work: Something broke on our side. Please ask again."]
    with pytest.raises(PermanentError, match="unknown_command"):
        await town.commands.command_given(a_command("dance"), a_job(town.clock))


async def test_an_answer_that_cannot_be_given_any_more_is_let_go(town: Town) -> None:
    town.chat.fail_next(PermanentError("response_url_gone"), method="answer")
    await town.commands.command_given(a_command("status"), a_job(town.clock))
    assert town.chat.answers == []


async def test_status_answers_while_jollor_is_away(town: Town) -> None:
    await town.link()
    await town.commands.command_given(a_command("status"), a_job(town.clock))
    assert isinstance(town.chat.answers[-1].content, StatusAnswer)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "Which project? For example: `/jollor link Harbour Bakery #support`."),
        ("Bakery <#C0NOWHERE>", "that channel"),
    ],
)
async def test_a_link_that_cannot_be_made_is_a_sentence(town: Town, rest: str, words: str) -> None:
    town.social.error = None
    town.chat.fail_next(
        TargetDown("gone", target=channel_target(T, "C0NOWHERE"), user_message="I cannot see that channel."),
        method="channel",
    )
    await town.commands.command_given(a_command("link", rest), a_job(town.clock))
    assert words in town.answered()[-1]


@pytest.mark.parametrize(
    ("rest", "name", "channel", "kind"),
    [
        ("Bakery", "Bakery", None, "all"),
        ("Bakery #support", "Bakery", "#support", "all"),
        ("Bakery #support alert", "Bakery", "#support", "alert"),
        ("Bakery <#C0SUPPORT1|support> POST", "Bakery", "<#C0SUPPORT1|support>", "post"),
        ("Morning Post #support", "Morning Post", "#support", "all"),
        ("Morning Post", "Morning Post", None, "all"),
        ("“Bakery #1” #support", "Bakery #1", "#support", "all"),
        ("#support", "", "#support", "all"),
        ("", "", None, "all"),
    ],
)
def test_the_words_of_a_link_are_project_channel_kind(
    rest: str, name: str, channel: str | None, kind: str
) -> None:
    found = link_words(rest)
    assert (found[0], found[1] and found[1][0].strip(), found[2]) == (name, channel, kind)


@pytest.mark.parametrize(
    ("rest", "before", "seconds"),
    [
        ("Bakery #support undo 10", "Bakery #support", 10),
        ("Bakery <#C0SUPPORT1> POST Undo 0", "Bakery <#C0SUPPORT1> POST", 0),
    ],
)
def test_behind_a_channel_an_undo_window_can_be_named(rest: str, before: str, seconds: float) -> None:
    assert undo_words(rest) == (before, UndoWindow(seconds))


@pytest.mark.parametrize("rest", ["Bakery undo 10", "Bakery #support undo soon", "Bakery #support", ""])
def test_elsewhere_those_words_are_a_name(rest: str) -> None:
    assert undo_words(rest) == (rest, None)


async def test_a_link_keeps_its_undo_window_until_it_is_given_another(town: Town) -> None:
    town.social.error = None

    async def windows() -> list[float | None]:
        return [link.undo_window_s for link in await town.connections.links()]

    for words, window in (("undo 10", 10.0), ("", 10.0), ("undo 0", 0.0), ("undo default", None)):
        rest = f"Bakery <#{C}> {words}".strip()
        await town.commands.command_given(a_command("link", rest), a_job(town.clock))
        assert await windows() == [window]
    assert "go to the customer 10 s later" in " ".join(town.answered())
    assert "go to the customer at once" in " ".join(town.answered())
    assert "as long as the bridge's own undo window" in town.answered()[-1]


async def test_a_last_word_is_a_kind_unless_a_project_is_called_so(town: Town) -> None:
    town.social.error = None
    town.social.names = ("Bakery", "Morning Post")

    async def picked(rest: str) -> tuple[str, str]:
        await town.commands.command_given(a_command("link", rest), a_job(town.clock))
        picker = town.chat.answers[-1].content
        assert isinstance(picker, ChannelPicker), picker
        return picker.project_name, picker.kind

    assert await picked("Bakery post") == ("Bakery", "post")
    assert await picked("morning post") == ("Morning Post", "all")
    assert await picked("morning post alert") == ("Morning Post", "alert")
    await town.commands.command_given(a_command("link", "Bank post"), a_job(town.clock))
    assert "There is no project “Bank”" in town.answered()[-1]


@pytest.mark.parametrize("verb", ["dance", "add", "add nobody", "remove"])
async def test_wrong_words_about_admins_are_answered_with_the_right_ones(town: Town, verb: str) -> None:
    await town.commands.command_given(a_command("admins", verb), a_job(town.clock))
    assert town.answered()[-1].startswith("Use `/jollor admins`")


@pytest.mark.parametrize("who", ["U0GUS", "U0BOT"])
async def test_guests_and_apps_are_not_put_on_the_list(town: Town, who: str) -> None:
    await town.commands.command_given(a_command("admins", f"add <@{who}>"), a_job(town.clock))
    assert "cannot be put on the list" in town.answered()[-1]
    assert await town.people.admins(T) == []


async def test_a_listed_person_who_became_a_guest_may_not_link_any_more(town: Town) -> None:
    ben = UserId("U0BEN")
    await town.people.add_admin(T, ben, by=UserId("U0ANNA"))
    assert await town.people.may_link(T, ben)
    town.chat.add_person(Person(ben, "Ben", is_guest=True))
    assert not await town.people.may_link(T, ben)
    assert await town.people.remove_admin(T, ben)
    assert not await town.people.remove_admin(T, ben)


def a_press(action: str, value: str, *, selected: str | None = None, user: str = "U0ANNA") -> ButtonPressed:
    return ButtonPressed(
        team_id=T,
        channel_id=C,
        user_id=user,
        action_id=action,
        value=value,
        selected=selected,
        response_url=NOWHERE,
    )


@pytest.mark.parametrize("value", ["", "null", "[]", "{}", '{"project_id": "P1", "kind": "cats"}', "{"])
@pytest.mark.parametrize("action", ["pick_channel", "unlink_channel", "link_project"])
async def test_a_button_that_carries_nonsense_is_answered_and_changes_nothing(
    town: Town, action: str, value: str
) -> None:
    await town.link()
    town.social.error = None
    await town.commands.button_pressed(a_press(action, value, selected=C), a_job(town.clock))
    assert "out of date" in town.answered()[-1]
    assert len(await town.connections.links()) == 1


@pytest.mark.parametrize("action", ["pick_channel", "unlink_channel"])
async def test_a_menu_without_a_choice_changes_nothing(town: Town, action: str) -> None:
    await town.link()
    town.social.error = None
    press = a_press(action, json.dumps({"project_id": P}))
    await town.commands.button_pressed(press, a_job(town.clock))
    assert town.answered() == ["No channel was picked."]
    assert len(await town.connections.links()) == 1


async def test_a_press_of_somebody_who_may_not_is_refused(town: Town) -> None:
    await town.link()
    press = a_press("unlink_channel", json.dumps({"project_id": P}), selected=C, user="U0BEN")
    await town.commands.button_pressed(press, a_job(town.clock))
    assert town.answered()[-1].startswith("Only workspace admins")
    await town.commands.button_pressed(a_press("from_an_old_release", ""), a_job(town.clock))
    assert len(town.chat.answers) == 1
