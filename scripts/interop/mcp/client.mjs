// A client that knows the URL of an MCP server and nothing else: discovery, registration, authorization with
// PKCE, token, tool call. Prints a line of JSON. Arguments: `sdk` or `client` (the package), the URL.

const [which, address] = process.argv.slice(2);

const { Client, StreamableHTTPClientTransport } =
  which === 'sdk'
    ? {
        ...(await import('@modelcontextprotocol/sdk/client/index.js')),
        ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js')),
      }
    : await import('@modelcontextprotocol/client');

const redirect = 'http://127.0.0.1:8765/callback';
const kept = {};
const seen = [];

// What a person's browser does: it follows redirections with its cookies, until it is sent back to the
// client.
async function browse(start) {
  const cookies = new Map();
  let url = start.href;
  for (let hop = 0; hop < 20; hop += 1) {
    const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
    const response = await fetch(url, { redirect: 'manual', headers });
    for (const cookie of response.headers.getSetCookie()) {
      const [name, value] = cookie.split(';')[0].split(/=(.*)/s);
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (!location) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    url = new URL(location, url).href;
    if (url.startsWith(redirect)) return new URL(url).searchParams;
  }
  throw new Error('too many redirections');
}

const authProvider = {
  get redirectUrl() {
    return redirect;
  },
  get clientMetadata() {
    return {
      client_name: 'interop',
      redirect_uris: [redirect],
      application_type: 'native',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  redirectToAuthorization: async (url) => {
    seen.push({ scope: url.searchParams.get('scope'), resource: url.searchParams.get('resource') });
    kept.answer = await browse(url);
  },
};

const connect = () => new StreamableHTTPClientTransport(new URL(address), { authProvider });

let client = new Client({ name: 'interop', version: '1.0.0' });
const first = connect();
try {
  await client.connect(first);
  throw new Error('the server let a client in that had no token');
} catch (error) {
  if (!kept.answer) throw error;
}
const error = kept.answer.get('error_description') ?? kept.answer.get('error');
if (error) throw new Error(error);
await first.finishAuth(which === 'sdk' ? kept.answer.get('code') : kept.answer);
client = new Client({ name: 'interop', version: '1.0.0' });
await client.connect(connect());
const result = await client.callTool({ name: 'whoami', arguments: {} });
console.log(JSON.stringify({ asked: seen, said: result.content[0].text, token: kept.tokens.access_token }));
process.exit(0);
