"""The auth server: one endpoint, three grants. And what the app server makes of a bearer token."""

import base64
import binascii

from aiohttp import web
from pydantic import JsonValue

from sandbox.jollor.answers import Refused, json_object, query, text_member
from sandbox.jollor.model import Account, Project
from sandbox.jollor.shapes import JsonObject, Shapes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import ExpiryForm
from sandbox.jollor.tokens import Grant, GrantType, Token, Tokens

USER_SCOPE = {"profile", "agency"}
PROJECT_SCOPE = {"profile", "project"}


class AuthServer:
    """`POST /oauth2/token`. JSON body, grant_type in the query, Basic for the password grant alone."""

    def __init__(
        self, store: Store, shapes: Shapes, tokens: Tokens, *, client_id: str, client_secret: str
    ) -> None:
        self._store = store
        self._shapes = shapes
        self._tokens = tokens
        self._client_id = client_id
        self._client_secret = client_secret

    async def create_token(self, request: web.Request) -> JsonValue:
        """Answer any grant, and note it."""
        name = query(request, "grant_type")
        try:
            grant_type = GrantType(name)
        except ValueError as error:
            raise Refused(400, f"unsupported grant_type {name}") from error
        try:
            token = await self._granted(request, grant_type)
        except Refused as refused:
            self._tokens.grants.append(Grant(grant_type, refused.status, None))
            raise
        project_id = None if token.project is None else token.project.id
        self._tokens.grants.append(Grant(grant_type, 200, project_id))
        return self._answer(token)

    async def _granted(self, request: web.Request, grant_type: GrantType) -> Token:
        body = await json_object(request)
        client = (text_member(body, "client_id"), text_member(body, "client_secret"))
        if client != (self._client_id, self._client_secret):
            raise Refused(401, "unknown client")
        scope = set(text_member(body, "scope").split(" "))
        match grant_type:
            case GrantType.PASSWORD:
                _require_scope(scope, USER_SCOPE)
                return self._tokens.issue(self._signed_in(request), None)
            case GrantType.TOKEN_EXCHANGE:
                _require_scope(scope, PROJECT_SCOPE)
                return self._exchanged(body)
            case GrantType.REFRESH_TOKEN:
                return self._refreshed(body, scope)

    def _signed_in(self, request: web.Request) -> Account:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise Refused(401, "login and password are missing")
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refused(401, "the Basic header cannot be read") from error
        account = self._store.accounts.get(username)
        if account is None or account.password != password:
            raise Refused(401, "wrong login or password")
        return account

    def _exchanged(self, body: JsonObject) -> Token:
        user_token = self._tokens.valid(text_member(body, "access_token"))
        if user_token is None or user_token.project is not None:
            raise Refused(401, "access_token is no valid user token")
        project = self._store.projects.get(text_member(body, "project_id"))
        if project is None:
            raise Refused(404, "no such project")
        if not self._store.may_see(user_token.account, project):
            raise Refused(403, "the user does not belong to the project")
        return self._tokens.issue(user_token.account, project)

    def _refreshed(self, body: JsonObject, scope: set[str]) -> Token:
        token = self._tokens.refreshable(text_member(body, "refresh_token"))
        if token is None:
            raise Refused(self._store.switches.refused_refresh_status, "refresh_token is not valid")
        _require_scope(scope, set(token.scopes))
        return self._tokens.refresh(token)

    def _answer(self, token: Token) -> JsonObject:
        switches = self._store.switches
        lifetime = round(switches.access_token_lifetime_s)
        answer: JsonObject = {
            "access_token": token.access_token,
            "token_type": "Bearer",
            "scope": " ".join(token.scopes) if switches.scope_as_string else list(token.scopes),
            "refresh_token": token.refresh_token,
        }
        match switches.expiry_form:
            case ExpiryForm.EXPIRE_IN:
                answer["expire_in"] = lifetime
            case ExpiryForm.EXPIRES_IN:
                answer["expires_in"] = lifetime
            case ExpiryForm.STRING:
                answer["expire_in"] = str(lifetime)
            case ExpiryForm.ZERO:
                answer["expire_in"] = 0
            case ExpiryForm.MISSING:
                pass
        return self._shapes.bent("TokenResponse", answer)


class Access:
    """Who may do what on the app server, judged by the bearer token."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    def token(self, request: web.Request) -> Token:
        """The valid token of the request, of either kind. Refused with 401 otherwise."""
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        token = self._tokens.valid(access_token) if scheme.lower() == "bearer" else None
        if token is None:
            raise Refused(401, "the access token is missing, unknown or expired")
        return token

    def account(self, request: web.Request) -> Account:
        """The account behind a user token."""
        token = self.token(request)
        if token.project is not None:
            raise Refused(self._store.switches.wrong_token_status, "a user token is needed")
        return token.account

    def project(self, request: web.Request) -> Project:
        """The project of a project token, which has to be the one in the path if the path has one."""
        token = self.token(request)
        if token.project is None:
            raise Refused(self._store.switches.wrong_token_status, "a project token is needed")
        if request.match_info.get("project_id", token.project.id) != token.project.id:
            raise Refused(403, "the token belongs to another project")
        return token.project


def _require_scope(scope: set[str], needed: set[str]) -> None:
    if scope != needed:
        raise Refused(400, f"the scope has to be {' '.join(sorted(needed, reverse=True))}")
