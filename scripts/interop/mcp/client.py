"""The same with PyPI's `mcp`: a client that knows the URL of an MCP server and nothing else. Argument: the URL."""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.oauth2 import AuthorizationCodeResult
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

REDIRECT = "http://127.0.0.1:8765/callback"


class Storage:
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Browser:
    """What a person's browser does: it follows redirections until it is sent back to the client."""

    async def open(self, url):
        query = parse_qs(urlsplit(url).query)
        self.asked = {"scope": query.get("scope", [""])[0], "resource": query["resource"][0]}
        async with httpx2.AsyncClient() as client:
            for _ in range(20):
                response = await client.get(url)
                url = urljoin(url, response.headers["location"])
                if url.startswith(REDIRECT):
                    self.answer = parse_qs(urlsplit(url).query)
                    return
        raise RuntimeError("too many redirections")

    async def result(self):
        return AuthorizationCodeResult(**{name: values[0] for name, values in self.answer.items()})


async def main(url):
    storage, browser = Storage(), Browser()
    metadata = OAuthClientMetadata(
        client_name="interop",
        redirect_uris=[REDIRECT],
        application_type="native",
        grant_types=["authorization_code"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    auth = OAuthClientProvider(url, metadata, storage, browser.open, browser.result)
    async with httpx2.AsyncClient(auth=auth) as client, streamable_http_client(url, http_client=client) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            result = await session.call_tool("whoami", {})
    said = result.content[0].text
    print(json.dumps({"asked": [browser.asked], "said": said, "token": storage.tokens.access_token}))


asyncio.run(main(sys.argv[1]))
