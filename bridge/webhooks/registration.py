"""Sees to a project's webhook in Jollor: made or found, pointed here, subscribed, tested.

Looks before it acts: a webhook of somebody else is only taken over when told so, and the secret is stored
before Jollor verifies the address, because another process may be the one that answers. Every step may be
repeated; one that fails leaves a state from which the next `link` goes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.ids import ProjectId
from bridge.model import Webhook
from bridge.ports import Social
from bridge.webhooks.book import NOTED_EVERY_S, StoredWebhook, Webhooks, WebhookState

EVENT_TYPES = (
    "message_received",
    "message_created",
    "message_sent",
    "post_received",
    "post_created",
    "post_published",
    "token_expired",
    "dialogue_started",
    "dialogue_ended",
    "dialogue_human_agent_needed",
)
OPTIONAL_TYPES = frozenset({"dialogue_human_agent_needed"})
"""Known from Jollor's example only: a refusal to subscribe is no failure. Source: NOTES 6."""

TEST_TYPE = "post_received"
"""The only `object_type` that Jollor shows. Source: openapi.yaml, ObjectType."""

TEST_TAKES_S = 5.0
"""How long a test delivery is waited for; Jollor does not say whether it makes it before it answers."""
LOOK_EVERY_S = 0.1

TAKE_OVER = "take it over with `jollor-slack link PROJECT CHANNEL --replace`"
NOT_TOLD = (
    "No webhook was set up: Jollor does not tell its secret. Take it from Jollor's dashboard and give it to "
    "`jollor-slack link PROJECT CHANNEL --webhook-secret-stdin`."
)


@dataclass(slots=True)
class Steps:
    """What was done so far, as sentences for people."""

    said: list[str] = field(default_factory=list)
    is_incomplete: bool = False

    def problem(self, sentence: str) -> None:
        """Say something that is left to do."""
        self.said.append(sentence)
        self.is_incomplete = True


class Registration:
    """Registers our address as a project's webhook."""

    def __init__(self, social: Social, hooks: Webhooks, *, test_takes_s: float = TEST_TAKES_S) -> None:
        self._social = social
        self._hooks = hooks
        self._test_takes_s = test_takes_s

    async def set_up(
        self, project: ProjectId, steps: Steps, *, replace: bool = False, secret: str | None = None
    ) -> None:
        """See to the project's webhook and say in `steps` what was done, or what is left to do.

        `secret` is that of a webhook which was made in the dashboard: it is stored, and Jollor is not asked.
        Raises `StoreUnavailable`; what else fails is said.
        """
        callback = self._hooks.callback_url(project)
        if secret is not None:
            await self._hooks.remember(project, secret, callback, None)
            steps.said.append("The webhook's secret is stored.")
        elif callback is None:
            steps.problem(
                "No webhook was set up: BRIDGE_PUBLIC_URL is not set, so Jollor cannot reach this bridge."
            )
        else:
            try:
                if await self._set_up(project, callback, steps, replace=replace):
                    await self._test(project, steps)
            except StoreUnavailable:
                raise
            except BridgeError as error:
                steps.problem(f"The webhook is not ready yet: {error.user_message} Link again to go on.")

    async def renew(self, project: ProjectId, steps: Steps, *, replace: bool = False) -> None:
        """Do the same without a test, which takes its time; raises what the ports raise."""
        callback = self._hooks.callback_url(project)
        assert callback is not None, "without an address nothing can be pointed here"
        await self._set_up(project, callback, steps, replace=replace)

    async def switch_on(self, project: ProjectId, steps: Steps) -> None:
        """Switch a webhook on that is there already; where it points stays as it is."""
        enabled = await self._social.enable_webhook(project)
        ours = await self._hooks.stored(project)
        if ours is None or ours.secret != enabled.secret:
            callback = None if ours is None else ours.callback_url
            await self._hooks.remember(project, enabled.secret, callback, enabled.status)
        found = await self._social.webhook(project)
        if found is not None and found.subscriptions is not None:
            await self._subscribe(project, found, steps)
        if found is None or not found.is_active:
            says = "there is none" if found is None else f"it is {found.status}"
            steps.problem(f"Jollor still says that {says}: look in Jollor's dashboard.")
            return
        await self._hooks.note(project, state=found.status)

    async def _set_up(self, project: ProjectId, callback: str, steps: Steps, *, replace: bool) -> bool:
        """Return whether the webhook calls us now, and may be tested."""
        found = await self._found_or_made(project, callback, steps, replace=replace)
        if found is None:
            return False
        # Before Jollor verifies: the process that answers reads the secret from the database.
        await self._hooks.remember(project, found.secret, callback, WebhookState.UNFINISHED)
        pointed = await self._pointed_here(project, found, callback, steps)
        if pointed is None:
            return False
        await self._subscribe(project, pointed, steps)
        await self._hooks.note(project, state=pointed.status or WebhookState.ACTIVE)
        if not pointed.is_active:
            steps.problem(f"Jollor says that the webhook is {pointed.status}: look in Jollor's dashboard.")
        return True

    async def _found_or_made(
        self, project: ProjectId, callback: str, steps: Steps, *, replace: bool
    ) -> Webhook | None:
        """Return the webhook that is ours to use, None if there is none (then `steps` says why)."""
        ours = await self._hooks.stored(project)
        found = await self._social.webhook(project)
        if found is None:
            await self._hooks.note_being_made(project)
            return await self._social.enable_webhook(project)
        if not replace and not is_ours(found, ours, callback):
            where = found.callback_url or "an address that Jollor does not tell"
            await self._hooks.note(project, state=found.status, is_foreign=True)
            steps.problem(f"The project's webhook points to {where}. It was left as it is; {TAKE_OVER}.")
            return None
        if found.secret:
            return found
        if ours is None or ours.state == WebhookState.BEING_MADE:
            steps.problem(NOT_TOLD)
            return None
        return Webhook(ours.secret, found.callback_url, found.status, found.subscriptions)

    async def _pointed_here(
        self, project: ProjectId, found: Webhook, callback: str, steps: Steps
    ) -> Webhook | None:
        """Return the webhook as it calls us now, None if Jollor did not accept our address."""
        if found.callback_url == callback and found.status == WebhookState.ACTIVE:
            return found
        try:
            changed = await self._social.point_webhook(project, callback)
        except PermanentError:
            steps.problem(
                f"Jollor did not accept {callback} as the webhook's address. It asks there first: the bridge "
                "has to run (`jollor-slack serve`) and be reached under that address. Then link again."
            )
            return None
        if not changed.is_active:
            enabled = await self._social.enable_webhook(project)
            changed = Webhook(enabled.secret, callback, enabled.status, changed.subscriptions)
        if changed.secret != found.secret:
            await self._hooks.remember(project, changed.secret, callback, WebhookState.UNFINISHED)
        return changed

    async def _subscribe(self, project: ProjectId, webhook: Webhook, steps: Steps) -> None:
        refused = []
        for event_type in EVENT_TYPES:
            if webhook.subscriptions is not None and event_type in webhook.subscriptions:
                continue
            try:
                await self._social.subscribe(project, event_type)
            except PermanentError:
                if event_type not in OPTIONAL_TYPES:
                    refused.append(event_type)
        if refused:
            steps.problem(f"Jollor will not call us for {', '.join(refused)}: it refused to subscribe that.")

    async def _test(self, project: ProjectId, steps: Steps) -> None:
        asked_at = await self.ask_for_test(project)
        if asked_at is None:
            steps.said.append("Its webhook is set up; Jollor made no test delivery.")
            return
        if await self._has_arrived(project, asked_at):
            steps.said.append("Its webhook is set up and was tested.")
        else:
            steps.problem(
                "Its webhook is set up, but the test delivery that Jollor was asked for did not arrive here. "
                "Watch `jollor-slack doctor`, and link again if messages stay away."
            )

    async def ask_for_test(self, project: ProjectId) -> datetime | None:
        """Have Jollor make a test delivery; return when it was asked, None if it makes none.

        Recorded before it is asked: the delivery may be faster than the answer.
        """
        test, asked_at = await self._hooks.note_test(project, TEST_TYPE)
        try:
            await self._social.send_test(project, TEST_TYPE)
        except PermanentError:
            await self._hooks.note_no_test(test, is_refused=True)
            return None
        except (Snooze, TargetDown):
            await self._hooks.note_no_test(test, is_refused=False)
            raise
        return asked_at

    async def _has_arrived(self, project: ProjectId, asked_at: datetime) -> bool:
        since = asked_at - timedelta(seconds=NOTED_EVERY_S)
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._test_takes_s
        while True:
            stored = await self._hooks.stored(project)
            if stored is not None and stored.last_event_at is not None and stored.last_event_at >= since:
                return True
            if clock() > give_up:
                return False
            await asyncio.sleep(LOOK_EVERY_S)  # another process takes it in: nobody here can wake us


def is_ours(found: Webhook, ours: StoredWebhook | None, callback: str) -> bool:
    """Tell whether a webhook that exists in Jollor is one that we made or were given. Pure.

    By its address, where Jollor tells it: the present one, or the one we had before we moved. Else by its
    secret, or because a webhook was asked for here and the answer got lost.
    """
    if found.callback_url == callback:
        return True
    if ours is None or ours.is_foreign:
        return False
    is_same_secret = bool(found.secret) and found.secret == ours.secret
    if found.callback_url is not None:
        return is_same_secret and found.callback_url == ours.callback_url
    return is_same_secret or not found.secret or ours.state == WebhookState.BEING_MADE
