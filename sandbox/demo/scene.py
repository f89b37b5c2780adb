"""Who and what is there when the demo opens: people, channels, projects, a little history."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.jollor.model import Project
from sandbox.jollor.simulated import SimulatedJollor
from sandbox.slack import SimulatedSlack
from sandbox.slack.model import Channel, User

NETWORKS = ("facebook", "instagram", "zalo")
LINK_LIMIT_S = 30.0


class NotLinked(Exception):
    """The bridge did not take up a project; says which."""


@dataclass(frozen=True)
class Place:
    """A project and the channel it goes to."""

    project: Project
    channel: Channel


@dataclass
class Scene:
    """The seeded world. `furnish`, then start the bridge, then `link`, then `let_customers_write`."""

    jollor: SimulatedJollor
    slack: SimulatedSlack
    people: list[User] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def furnish(self) -> None:
        """People, channels, projects, and messages from before the bridge was there."""
        self.slack.team.name = "Harbour Agency"
        anna = self.slack.add_user("Anna Berg", display_name="Anna", is_admin=True)
        ben = self.slack.add_user("Ben Okafor", display_name="Ben")
        gil = self.slack.add_user("Gil Santos", display_name="Gil", is_restricted=True)
        self.people = [anna, ben, gil]
        self.slack.add_channel("general", members=self.people, with_bot=False)
        self.places = [
            self._place("Harbour Bakery", "harbour-bakery"),
            self._place("North Pier Cinema", "north-pier-cinema"),
        ]
        for place in self.places:
            place.channel.topic = f"Messages and comments for {place.project.name}"
        self._history()

    async def link(self, *, within_s: float = LINK_LIMIT_S) -> None:
        """Link every project to its channel, as an admin does it: with `/jollor link`."""
        admin = self.people[0].id
        for place in self.places:
            words = f"link {place.project.name} #{place.channel.name}"
            reply = await self.slack.slash_command(admin, place.channel.id, "/jollor", words)
            if reply.error:
                raise NotLinked(f"/jollor {words} failed with {reply.error}")
        try:
            await self.slack.until(lambda: len(self._answers()) == len(self.places), timeout_s=within_s)
        except TimeoutError:
            raise NotLinked(f"/jollor link was not answered within {within_s:g} seconds") from None
        if not all(self._is_linked(place) for place in self.places):
            raise NotLinked(" ".join(self._answers()))
        self.slack.state.ephemerals.clear()  # as after a reload: answers that only the admin saw

    def let_customers_write(self) -> None:
        """A few messages and a comment that find their way into Slack while somebody watches."""
        bakery, cinema = (place.project for place in self.places)
        self.jollor.customer_writes(
            bakery,
            "instagram",
            "Mai Tran",
            "The lemon tart was wonderful. Do you bake it for 20 people, too?",
        )
        self.jollor.customer_writes(cinema, "zalo", "Linh Pham", "Is there still a seat for the late show?")
        self.jollor.comment(
            bakery, "facebook", "Jonas Weber", "Best rye bread on the whole coast. See you on Saturday!"
        )

    def _place(self, project: str, channel: str) -> Place:
        return Place(self.jollor.add_project(project), self.slack.add_channel(channel, members=self.people))

    def _history(self) -> None:
        bakery, cinema = (place.project for place in self.places)
        now = self.jollor.clock.now()
        yesterday, last_week = now - timedelta(hours=22), now - timedelta(days=6)
        self._past(
            bakery,
            "instagram",
            "Mai Tran",
            last_week,
            "Hi! Do you ship your stollen?",
            "We do, from 1 December.",
        )
        self._past(
            cinema,
            "zalo",
            "Linh Pham",
            yesterday,
            "Are there films with subtitles?",
            "Every Tuesday at eight.",
        )
        self._past(
            bakery,
            "facebook",
            "Ada Novak",
            yesterday,
            "What is in the harvest loaf?",
            "Rye, spelt, pumpkin seeds.",
        )

    def _past(
        self, project: Project, network: str, who: str, at: datetime, asked: str, answered: str
    ) -> None:
        message = self.jollor.customer_writes(project, network, who, asked, at=at, announced=False)
        later = at + timedelta(minutes=7)
        self.jollor.dashboard_replies(message.conversation, answered, at=later, announced=False)

    def _is_linked(self, place: Place) -> bool:
        webhook = self.jollor.webhook(place.project)
        return webhook is not None and webhook.is_active

    def _answers(self) -> list[str]:
        """The full answers to `/jollor link`; the first, quick ones are not among them."""
        seen = self.slack.ephemerals(self.people[0].id)
        return [each.text for each in seen if each.via == "response_url"]
