// Two client libraries get a token that is bound to a key, and use it at a resource: with proofs of their
// own, nonces of the resource included. Prints a line of JSON for each library. Arguments: issuer, resource,
// audience, the client's name and secret, the algorithm of the second library's proofs.

import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

const [issuer, resource, audience, id, secret, algorithm] = process.argv.slice(2);
// Keycloak knows no scope `orders:read`, and takes no parameter `resource`: its clients have a fixed
// audience.
const wanted = audience.startsWith('https://') ? { resource: audience, scope: 'orders:read' } : {};

async function withOpenidClient() {
  const config = await openid.discovery(new URL(issuer), id, secret, openid.ClientSecretBasic(secret), {
    execute: [openid.allowInsecureRequests],
  });
  const handle = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
  const tokens = await openid.clientCredentialsGrant(config, wanted, { DPoP: handle });
  const ask = () =>
    openid.fetchProtectedResource(config, tokens.access_token, new URL(resource), 'GET', undefined, undefined, { DPoP: handle });
  // This library repeats a request by itself when the resource asks for a nonce.
  return { status: (await ask()).status, token_type: tokens.token_type };
}

async function withOauth4webapi() {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const as = await oauth
    .discoveryRequest(new URL(issuer), insecure)
    .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response));
  const client = { client_id: id };
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
  const response = await oauth.clientCredentialsGrantRequest(
    as,
    client,
    oauth.ClientSecretBasic(secret),
    new URLSearchParams(wanted),
    { DPoP, ...insecure },
  );
  const tokens = await oauth.processClientCredentialsResponse(as, client, response);
  const ask = () =>
    oauth.protectedResourceRequest(tokens.access_token, 'GET', new URL(resource), undefined, undefined, { DPoP, ...insecure });
  // This one keeps the nonce, and leaves it to its caller to ask again.
  const answer = await ask().catch((error) => {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return ask();
  });
  return { status: answer.status, token_type: tokens.token_type };
}

console.log(JSON.stringify({ 'openid-client': await withOpenidClient(), oauth4webapi: await withOauth4webapi() }));
