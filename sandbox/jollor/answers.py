"""How handlers answer: JSON values, or a failure in a form that nobody has documented."""

from collections.abc import Awaitable, Callable
from html import escape
from http import HTTPStatus
from json import JSONDecodeError

from aiohttp import web
from pydantic import JsonValue

from sandbox.jollor.shapes import JsonObject
from sandbox.jollor.switches import ErrorForm, Switches

Handler = Callable[[web.Request], Awaitable[JsonValue | web.StreamResponse]]


class Refused(Exception):
    """A call that is answered with a failure."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def answering(handler: Handler, switches: Switches) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler that writes what `handler` returns as JSON, and Refused as a failure."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            result = await handler(request)
        except Refused as refused:
            return failure(refused.status, refused.reason, switches.error_form)
        return result if isinstance(result, web.StreamResponse) else web.json_response(result)

    return answer


def failure(status: int, reason: str, form: ErrorForm) -> web.Response:
    """A failing answer."""
    match form:
        case ErrorForm.OBJECT:
            error: JsonObject = {"error": {"code": status, "type": _phrase(status), "detail": reason}}
            return web.json_response(error, status=status)
        case ErrorForm.TEXT:
            return web.Response(status=status, text=reason)
        case ErrorForm.HTML:
            page = f"<html><body><h1>{status}</h1><p>{escape(reason)}</p></body></html>"
            return web.Response(status=status, text=page, content_type="text/html")
        case ErrorForm.EMPTY:
            return web.Response(status=status)


async def json_object(request: web.Request, *, required: bool = True) -> JsonObject:
    """The request's body. Refused with 400 if it is no JSON object; {} if it may be left out and is."""
    if not required and not await request.read():
        return {}
    if request.content_type != "application/json":
        raise Refused(400, "the body has to be JSON")
    try:
        body: JsonValue = await request.json()
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "the body has to be an object")
    return body


def text_member(body: JsonObject, name: str) -> str:
    """A member that has to be a string with something in it; Refused with 400 otherwise."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} is required")
    return value


def query(request: web.Request, name: str) -> str:
    """A query parameter that has to be there; Refused with 400 otherwise."""
    value = request.query.get(name, "")
    if not value:
        raise Refused(400, f"{name} is required")
    return value


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
