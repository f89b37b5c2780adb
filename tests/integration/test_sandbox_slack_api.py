"""The simulated Slack's Web API, as Slack's own client sees it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.clock import SandboxClock
from sandbox.faults import Faults
from sandbox.ledger import ChannelAction
from sandbox.rules import CallerGets, Fault, FaultKind
from sandbox.server import DownMode
from sandbox.slack import ALL_SCOPES, Channel, Limit, Limits, SimulatedSlack, User
from sandbox.wire import End


@pytest.fixture
async def slack() -> AsyncIterator[SimulatedSlack]:
    slack = await SimulatedSlack.start(limits=Limits(enabled=False))
    yield slack
    await slack.stop()


@pytest.fixture
async def client(slack: SimulatedSlack) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(slack.bot_token, slack.api_url, session=session, retry_handlers=[])


@pytest.fixture
def anna(slack: SimulatedSlack) -> User:
    return slack.add_user("Anna", is_admin=True)


@pytest.fixture
def support(slack: SimulatedSlack, anna: User) -> Channel:
    return slack.add_channel("support", members=[anna])


@contextmanager
def refused(code: str) -> Iterator[None]:
    """The call inside is answered with `ok: false` and this error."""
    with pytest.raises(SlackApiError) as caught:
        yield
    assert caught.value.response["error"] == code


# who calls


async def test_auth_test_tells_who_the_bot_is(client: AsyncWebClient, slack: SimulatedSlack) -> None:
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"]) == (slack.team.id, slack.team.bot.id)
    assert answer["bot_id"] == slack.team.install.bot_id
    assert set(answer.headers["x-oauth-scopes"].split(",")) == ALL_SCOPES


async def test_a_wrong_token_is_invalid_and_no_token_is_not_authed(slack: SimulatedSlack) -> None:
    with refused("invalid_auth"):
        await AsyncWebClient("xoxb-wrong", slack.api_url).auth_test()
    with refused("not_authed"):
        await AsyncWebClient(None, slack.api_url).auth_test()
    with refused("not_allowed_token_type"):
        await AsyncWebClient(slack.app_token, slack.api_url).auth_test()


async def test_a_revoked_token_says_so_and_so_does_an_uninstalled_app(
    client: AsyncWebClient, slack: SimulatedSlack
) -> None:
    slack.revoke_token()
    with refused("token_revoked"):
        await client.auth_test()
    slack.uninstall()
    with refused("account_inactive"):
        await client.auth_test()


async def test_a_missing_scope_names_what_is_needed_and_what_was_granted(slack: SimulatedSlack) -> None:
    poor = slack.add_team("Poor", scopes=frozenset({"chat:write"}))
    with pytest.raises(SlackApiError) as caught:
        await AsyncWebClient(poor.install.token, slack.api_url).users_info(user=poor.bot.id)
    answer = caught.value.response
    assert (answer["error"], answer["needed"], answer["provided"]) == (
        "missing_scope",
        "users:read",
        "chat:write",
    )


async def test_an_unknown_method_and_broken_json_are_named(
    client: AsyncWebClient, slack: SimulatedSlack
) -> None:
    with refused("unknown_method"):
        await client.api_call("chat.shout")
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {slack.bot_token}", "Content-Type": "application/json"}
        async with session.post(slack.api_url + "auth.test", data=b"{", headers=headers) as answer:
            assert (await answer.json())["error"] == "invalid_json"


async def test_arguments_are_taken_from_query_form_and_json_alike(
    slack: SimulatedSlack, support: Channel
) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    message = {"channel": support.id, "text": "hi"}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = slack.api_url + "chat.postMessage"
        for posted in (
            session.post(url, json=message),
            session.post(url, data=message),
            session.post(url, params=message),
        ):
            async with posted as answer:
                assert (await answer.json())["ok"] is True
    assert [m.text for m in slack.messages(support.id)] == ["hi"] * 3


# writing


async def test_a_post_is_in_the_channel_the_ledger_and_the_wire(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    metadata = {"event_type": "jollor_bridge", "event_payload": {"kind": "message", "id": "d-1"}}
    answer = await client.chat_postMessage(channel=support.id, text="hi", metadata=metadata)
    assert answer["message"]["metadata"] == metadata
    assert [(m.ts, m.text) for m in slack.messages(support.id)] == [(answer["ts"], "hi")]
    (receipt,) = slack.ledger.of_channel(support.id)
    assert (receipt.action, receipt.metadata_id, receipt.text) == (ChannelAction.POSTED, "d-1", "hi")
    (entry,) = slack.wire.entries(end=End.SLACK, operation="chat.postMessage")
    assert receipt.request == entry.number
    assert slack.bot_token not in entry.request + entry.path


async def test_a_customised_post_comes_back_as_a_bot_message_without_a_user(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    answer = await client.chat_postMessage(
        channel=support.id, text="hi", username="Ina · Instagram", icon_emoji=":camera:"
    )
    message = answer["message"]
    assert message["subtype"] == "bot_message"
    assert message["username"] == "Ina · Instagram"
    assert message["icons"] == {"emoji": ":camera:"}
    assert message["bot_id"] == slack.team.install.bot_id
    assert "user" not in message


async def test_without_the_customize_scope_the_name_is_dropped_or_refused(slack: SimulatedSlack) -> None:
    team = slack.add_team("Plain", scopes=ALL_SCOPES - {"chat:write.customize"})
    channel = slack.add_channel("support", team=team)
    client = AsyncWebClient(team.install.token, slack.api_url)
    answer = await client.chat_postMessage(channel=channel.id, text="hi", username="Ina")
    assert "username" not in answer["message"]
    assert answer["message"]["user"] == team.bot.id
    slack.switches.missing_customize_scope = "error"
    with refused("missing_scope"):
        await client.chat_postMessage(channel=channel.id, text="hi", username="Ina")


async def test_every_message_of_a_channel_has_a_ts_of_its_own_that_grows(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    written = [slack.say(anna.id, support.id, str(n)) for n in range(50)]
    written.append((await client.chat_postMessage(channel=support.id, text="last"))["ts"])
    assert sorted(set(written)) == written


async def test_long_text_is_truncated_when_posted_and_refused_when_updated(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    ts = (await client.chat_postMessage(channel=support.id, text="x" * 40_001))["ts"]
    assert len(slack.message(support.id, ts).text) == 40_000
    await client.chat_update(channel=support.id, ts=ts, text="y" * 4000)
    with refused("msg_too_long"):
        await client.chat_update(channel=support.id, ts=ts, text="y" * 4001)


async def test_an_empty_message_has_no_text(client: AsyncWebClient, support: Channel) -> None:
    with refused("no_text"):
        await client.api_call("chat.postMessage", json={"channel": support.id, "text": " "})


async def test_broken_blocks_are_refused_with_a_pointer_to_what_is_wrong(
    client: AsyncWebClient, support: Channel
) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=support.id, text="t", blocks=[header])
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 151 characters [json-pointer:/blocks/0/text/text]"
    ]
    with refused("invalid_blocks_format"):
        await client.chat_postMessage(channel=support.id, text="t", blocks="no json")


async def test_too_many_characters_over_all_blocks_are_refused(
    client: AsyncWebClient, support: Channel
) -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2700}}
    with refused("msg_blocks_too_long"):
        await client.chat_postMessage(channel=support.id, text="t", blocks=[section] * 5)


async def test_metadata_must_have_a_type_and_a_flat_payload(client: AsyncWebClient, support: Channel) -> None:
    with refused("invalid_metadata_schema"):
        await client.chat_postMessage(channel=support.id, text="t", metadata={"event_type": "x"})


async def test_where_the_bot_cannot_write_it_is_told_why(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    public = slack.add_channel("public", with_bot=False)
    secret = slack.add_channel("secret", with_bot=False, is_private=True)
    for channel, code in ((public.id, "not_in_channel"), (secret.id, "channel_not_found")):
        with refused(code):
            await client.chat_postMessage(channel=channel, text="hi")
    with refused("channel_not_found"):
        await client.chat_postMessage(channel="C0NOWHERE", text="hi")
    slack.archive(support.id)
    with refused("is_archived"):
        await client.chat_postMessage(channel=support.id, text="hi")
    slack.people.delete_channel(public.id)
    with refused("channel_not_found"):
        await client.conversations_info(channel=public.id)


async def test_joining_opens_public_channels_only(client: AsyncWebClient, slack: SimulatedSlack) -> None:
    public = slack.add_channel("public", with_bot=False)
    secret = slack.add_channel("secret", with_bot=False, is_private=True)
    await client.conversations_join(channel=public.id)
    await client.chat_postMessage(channel=public.id, text="hi")
    again = await client.conversations_join(channel=public.id)
    assert again["warning"] == "already_in_channel"
    with refused("channel_not_found"):
        await client.conversations_join(channel=secret.id)


async def test_a_kicked_bot_is_not_in_the_channel_any_more(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    slack.kick_bot(support.id)
    with refused("not_in_channel"):
        await client.chat_postMessage(channel=support.id, text="hi")
    with refused("not_in_channel"):
        await client.conversations_history(channel=support.id)


async def test_an_update_changes_own_messages_keeps_metadata_and_loses_blocks_unless_sent_again(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    metadata = {"event_type": "x", "event_payload": {"id": "1"}}
    blocks = [{"type": "divider"}]
    ts = (await client.chat_postMessage(channel=support.id, text="a", blocks=blocks, metadata=metadata))["ts"]
    await client.chat_update(channel=support.id, ts=ts, text="b", blocks=blocks)
    assert slack.message(support.id, ts).edited is None
    await client.chat_update(channel=support.id, ts=ts, text="c")
    message = slack.message(support.id, ts)
    assert (message.text, message.blocks, message.metadata) == ("c", [], metadata)
    assert message.edited is not None
    with refused("cant_update_message"):
        await client.chat_update(channel=support.id, ts=slack.say(anna.id, support.id, "mine"), text="no")
    with refused("message_not_found"):
        await client.chat_update(channel=support.id, ts="1.000001", text="no")


async def test_own_messages_can_be_deleted_and_those_of_people_cannot(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    ts = (await client.chat_postMessage(channel=support.id, text="a"))["ts"]
    await client.chat_delete(channel=support.id, ts=ts)
    assert slack.messages(support.id) == []
    assert [r.action for r in slack.ledger.of_channel(support.id)] == [
        ChannelAction.POSTED,
        ChannelAction.DELETED,
    ]
    with refused("message_not_found"):
        await client.chat_delete(channel=support.id, ts=ts)
    with refused("cant_delete_message"):
        await client.chat_delete(channel=support.id, ts=slack.say(anna.id, support.id, "mine"))


async def test_an_ephemeral_is_seen_by_one_member_and_is_no_message(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    await client.chat_postEphemeral(channel=support.id, user=anna.id, text="psst")
    assert [seen.text for seen in slack.ephemerals(anna.id)] == ["psst"]
    assert slack.messages(support.id) == []
    with refused("user_not_in_channel"):
        outsider = slack.add_user("Olga")
        await client.chat_postEphemeral(channel=support.id, user=outsider.id, text="psst")


async def test_a_permalink_of_a_reply_names_its_thread(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    root = slack.say(anna.id, support.id, "root")
    reply = slack.say(anna.id, support.id, "reply", thread_ts=root)
    link = (await client.chat_getPermalink(channel=support.id, message_ts=reply))["permalink"]
    assert link == (
        f"https://acme.slack.com/archives/{support.id}/p{reply.replace('.', '')}"
        f"?thread_ts={root}&cid={support.id}"
    )


# threads


async def test_a_reply_is_in_its_thread_and_not_in_the_channel_unless_broadcast(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    root = (await client.chat_postMessage(channel=support.id, text="root"))["ts"]
    first = await client.chat_postMessage(channel=support.id, text="one", thread_ts=root)
    second = await client.chat_postMessage(
        channel=support.id, text="two", thread_ts=root, reply_broadcast=True
    )
    assert first["message"]["thread_ts"] == root
    assert second["message"]["subtype"] == "thread_broadcast"
    assert [m.text for m in slack.thread(support.id, root)] == ["root", "one", "two"]
    assert [m.text for m in slack.roots(support.id)] == ["root", "two"]


@pytest.mark.parametrize("gone", ["deleted", "tombstone", "reply"])
async def test_a_reply_to_what_is_no_root_strays_into_the_channel(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User, gone: str
) -> None:
    thread_ts = _no_root(slack, support, anna, gone)
    answer = await client.chat_postMessage(channel=support.id, text="stray", thread_ts=thread_ts)
    assert "thread_ts" not in answer["message"]
    assert slack.roots(support.id)[-1].text == "stray"


@pytest.mark.parametrize("gone", ["deleted", "tombstone", "reply"])
@pytest.mark.parametrize("code", ["cannot_reply_to_message", "thread_not_found"])
async def test_a_reply_to_what_is_no_root_is_refused_if_the_switch_says_so(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User, gone: str, code: str
) -> None:
    thread_ts = _no_root(slack, support, anna, gone)
    switch = {"deleted": "deleted_root", "tombstone": "tombstone", "reply": "reply"}[gone]
    setattr(slack.switches, f"reply_to_{switch}", code)
    with refused(code):
        await client.chat_postMessage(channel=support.id, text="stray", thread_ts=thread_ts)


def _no_root(slack: SimulatedSlack, support: Channel, anna: User, gone: str) -> str:
    """The `ts` of a deleted root, of one whose tombstone is left, or of a reply."""
    root = slack.say(anna.id, support.id, "root")
    if gone == "deleted":
        slack.delete(support.id, root)
        return root
    reply = slack.say(anna.id, support.id, "reply", thread_ts=root)
    if gone == "reply":
        return reply
    slack.delete(support.id, root)
    return root


async def test_a_deleted_root_with_replies_leaves_a_tombstone_until_the_last_reply_is_gone(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    root = slack.say(anna.id, support.id, "root")
    reply = slack.say(anna.id, support.id, "reply", thread_ts=root)
    slack.delete(support.id, root)
    shown = (await client.conversations_replies(channel=support.id, ts=root))["messages"]
    assert [(m.get("subtype"), m["text"]) for m in shown] == [
        ("tombstone", "This message was deleted."),
        (None, "reply"),
    ]
    slack.delete(support.id, reply)
    with refused("thread_not_found"):
        await client.conversations_replies(channel=support.id, ts=root)


# reading


async def test_replies_come_root_first_page_by_page_with_metadata_on_request(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    root = (await client.chat_postMessage(channel=support.id, text="root"))["ts"]
    for n in range(5):
        metadata = {"event_type": "x", "event_payload": {"id": str(n)}}
        await client.chat_postMessage(channel=support.id, text=str(n), thread_ts=root, metadata=metadata)
    first = await client.conversations_replies(
        channel=support.id, ts=root, limit=3, include_all_metadata=True
    )
    assert [m["text"] for m in first["messages"]] == ["root", "0", "1", "2"]
    assert first["messages"][0]["reply_count"] == 5
    assert first["messages"][1]["metadata"]["event_payload"] == {"id": "0"}
    assert first["has_more"] is True
    cursor = first["response_metadata"]["next_cursor"]
    second = await client.conversations_replies(channel=support.id, ts=root, limit=3, cursor=cursor)
    assert [m["text"] for m in second["messages"]] == ["root", "3", "4"]
    assert second["has_more"] is False
    assert "metadata" not in second["messages"][1]


async def test_history_is_newest_first_without_replies_and_between_oldest_and_latest(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    written = [slack.say(anna.id, support.id, str(n)) for n in range(5)]
    slack.say(anna.id, support.id, "reply", thread_ts=written[0])
    slack.say(anna.id, support.id, "loud", thread_ts=written[0], broadcast=True)

    async def texts(**arguments: object) -> list[str]:
        params = {"channel": support.id, **arguments}
        answer = await client.api_call("conversations.history", http_verb="GET", params=params)
        return [m["text"] for m in answer["messages"]]

    assert await texts() == ["loud", "4", "3", "2", "1", "0"]
    assert await texts(oldest=written[1], latest=written[3]) == ["2"]
    assert await texts(oldest=written[1], latest=written[3], inclusive=True) == ["3", "2", "1"]
    assert await texts(oldest=written[1], limit=2) == ["loud", "4"]
    slack.switches.history_from_oldest = True
    assert await texts(oldest=written[1], limit=2) == ["3", "2"]


async def test_restricted_reads_hold_fifteen_items_once_a_minute(slack: SimulatedSlack, anna: User) -> None:
    support = slack.add_channel("support", members=[anna])
    for n in range(20):
        slack.say(anna.id, support.id, str(n))
    slack.limits.enabled = slack.limits.reads_are_restricted = True
    client = AsyncWebClient(slack.bot_token, slack.api_url, retry_handlers=[])
    answer = await client.conversations_history(channel=support.id, limit=100)
    assert len(answer["messages"]) == 15
    assert answer["has_more"] is True
    with pytest.raises(SlackApiError) as caught:
        await client.conversations_history(channel=support.id)
    assert caught.value.response.status_code == 429
    assert 50 <= int(caught.value.response.headers["Retry-After"]) <= 60


async def test_channels_are_listed_by_type_with_cursors(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    slack.add_channel("other", with_bot=False)
    slack.add_channel("ours", is_private=True)
    slack.add_channel("theirs", is_private=True, with_bot=False)
    old = slack.add_channel("old")
    slack.archive(old.id)
    seen: list[str] = []
    async for page in await client.conversations_list(
        types="public_channel,private_channel", limit=2, exclude_archived=True
    ):
        assert len(page["channels"]) <= 2
        seen += [channel["name"] for channel in page["channels"]]
    assert seen == ["support", "other", "ours"]
    with refused("invalid_cursor"):
        await client.conversations_list(cursor="nonsense")


async def test_short_pages_are_not_the_end(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    slack.switches.short_pages = 1
    first = await client.conversations_members(channel=support.id, limit=100)
    assert first["members"] == [anna.id]
    assert first["response_metadata"]["next_cursor"]


async def test_users_tell_their_role_and_home(client: AsyncWebClient, slack: SimulatedSlack) -> None:
    guest = slack.add_user("Gus", is_ultra_restricted=True)
    stranger = slack.add_user("Sam", home_team_id="T0OTHER", display_name="")
    shown = (await client.users_info(user=guest.id))["user"]
    assert shown["is_restricted"] is shown["is_ultra_restricted"] is True
    shown = (await client.users_info(user=stranger.id))["user"]
    assert (shown["team_id"], shown["is_stranger"]) == ("T0OTHER", True)
    assert (shown["profile"]["display_name"], shown["real_name"]) == ("", "Sam")
    with refused("user_not_found"):
        await client.users_info(user="U0NOBODY")
    assert len((await client.users_list())["members"]) == 3


async def test_a_direct_message_is_opened_once(
    client: AsyncWebClient, slack: SimulatedSlack, anna: User
) -> None:
    first = await client.conversations_open(users=anna.id)
    again = await client.conversations_open(users=[anna.id])
    assert first["channel"]["id"] == again["channel"]["id"]
    await client.chat_postMessage(channel=anna.id, text="hi")
    assert [m.text for m in slack.messages(first["channel"]["id"])] == ["hi"]


# reactions


async def test_reactions_are_added_and_removed_once(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel, anna: User
) -> None:
    ts = slack.say(anna.id, support.id, "hi")
    await client.reactions_add(channel=support.id, timestamp=ts, name="white_check_mark")
    assert slack.mark(support.id, ts) == "white_check_mark"
    with refused("already_reacted"):
        await client.reactions_add(channel=support.id, timestamp=ts, name="white_check_mark")
    shown = (await client.reactions_get(channel=support.id, timestamp=ts))["message"]["reactions"]
    assert shown == [{"name": "white_check_mark", "users": [slack.team.bot.id], "count": 1}]
    await client.reactions_remove(channel=support.id, timestamp=ts, name="white_check_mark")
    assert slack.mark(support.id, ts) is None
    with refused("no_reaction"):
        await client.reactions_remove(channel=support.id, timestamp=ts, name="white_check_mark")
    with refused("message_not_found"):
        await client.reactions_add(channel=support.id, timestamp="1.000001", name="x")
    with refused("invalid_name"):
        await client.reactions_add(channel=support.id, timestamp=ts, name="no_such_emoji_here")


# rate limits


async def test_posts_are_limited_per_channel_and_the_429_says_how_long(slack: SimulatedSlack) -> None:
    slack.limits.enabled = True
    slack.limits.post_per_channel = Limit(60, 2)
    first, second = slack.add_channel("first"), slack.add_channel("second")
    client = AsyncWebClient(slack.bot_token, slack.api_url, retry_handlers=[])
    for _ in range(2):
        await client.chat_postMessage(channel=first.id, text="hi")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=first.id, text="hi")
    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel=second.id, text="hi")
    assert slack.pacing.refused == {("chat.postMessage", first.id): 1}


async def test_other_methods_are_limited_per_workspace_by_their_tier(slack: SimulatedSlack) -> None:
    slack.limits.enabled = True
    slack.limits.tiers[4] = Limit(60, 1)
    other = slack.add_team("Other")
    client = AsyncWebClient(slack.bot_token, slack.api_url, retry_handlers=[])
    await client.users_info(user=slack.team.bot.id)
    with pytest.raises(SlackApiError):
        await client.users_info(user=slack.team.bot.id)
    await AsyncWebClient(other.install.token, slack.api_url).users_info(user=other.bot.id)
    assert slack.pacing.refused == {("users.info", ""): 1}


# faults


async def test_a_cut_after_the_effect_leaves_the_post_in_the_channel(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    slack.faults.add(End.SLACK, FaultKind.CUT_AFTER, "chat.postMessage", times=1)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=support.id, text="hi")
    assert [m.text for m in slack.messages(support.id)] == ["hi"]


async def test_a_late_effect_comes_after_the_caller_was_told_otherwise(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    html = Fault(
        FaultKind.LATE,
        seconds=0.05,
        caller_gets=CallerGets.STATUS,
        body="<html>oops</html>",
        content_type="text/html",
    )
    slack.faults.add(End.SLACK, html, "chat.postMessage", where={"text": "^late$"})
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=support.id, text="late")
    assert caught.value.response.status_code == 503
    assert slack.messages(support.id) == []
    await slack.until(lambda: slack.ledger.of_channel(support.id))
    assert [m.text for m in slack.messages(support.id)] == ["late"]


async def test_broken_json_after_the_effect_is_what_the_client_chokes_on(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    broken = Fault(FaultKind.STATUS_AFTER, status=200, body='{"ok": tr')
    slack.faults.add(End.SLACK, broken, "chat.postMessage")
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=support.id, text="hi")
    assert [m.text for m in slack.messages(support.id)] == ["hi"]


async def test_a_hidden_post_appears_in_lists_only_later(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    slack.faults.add(End.SLACK, Fault(FaultKind.HIDDEN, seconds=3600), "chat.postMessage", times=1)
    await client.chat_postMessage(channel=support.id, text="hidden")
    await client.chat_postMessage(channel=support.id, text="shown")
    answer = await client.conversations_history(channel=support.id)
    assert [m["text"] for m in answer["messages"]] == ["shown"]


# the whole


async def test_workspaces_are_apart(client: AsyncWebClient, slack: SimulatedSlack, support: Channel) -> None:
    other = slack.add_team("Other")
    theirs = slack.add_channel("support", team=other)
    with refused("channel_not_found"):
        await client.chat_postMessage(channel=theirs.id, text="hi")
    their_client = AsyncWebClient(other.install.token, slack.api_url)
    await their_client.chat_postMessage(channel="#support", text="hi")
    assert [m.text for m in slack.messages(theirs.id)] == ["hi"]
    assert slack.messages(support.id) == []
    slack.revoke_token(other)
    await client.auth_test()


async def test_a_slack_that_is_down_comes_back_with_everything(
    client: AsyncWebClient, slack: SimulatedSlack, support: Channel
) -> None:
    await client.chat_postMessage(channel=support.id, text="before")
    await slack.down()
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=support.id, text="meanwhile")
    await slack.down(DownMode.UNAVAILABLE)
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=support.id, text="meanwhile")
    await slack.up()
    await client.chat_postMessage(channel=support.id, text="after")
    assert [m.text for m in slack.messages(support.id)] == ["before", "after"]


async def test_the_environment_names_what_an_app_needs(slack: SimulatedSlack) -> None:
    environment = slack.environment()
    assert environment["SLACK_API_URL"].endswith("/api/")
    assert "SLACK_APP_TOKEN" not in environment
    slack.switches.socket_mode = True
    assert slack.environment()["SLACK_APP_TOKEN"].startswith("xapp-")


async def test_a_fault_script_that_was_passed_in_is_left_to_its_owner() -> None:
    clock = SandboxClock()
    faults = Faults(clock=clock)
    first = await SimulatedSlack.start(clock=clock, faults=faults)
    second = await SimulatedSlack.start(clock=clock, faults=faults, seed=2)
    await first.stop()
    faults.add(End.SLACK, FaultKind.HANG, "auth.test")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await AsyncWebClient(second.bot_token, second.api_url, retry_handlers=[]).auth_test()
    await faults.stop()
    await second.stop()


async def test_waiting_for_what_never_comes_ends(slack: SimulatedSlack, support: Channel) -> None:
    with pytest.raises(TimeoutError):
        await slack.until(lambda: slack.messages(support.id), timeout_s=0.01)
    assert slack.state.watchers == []
