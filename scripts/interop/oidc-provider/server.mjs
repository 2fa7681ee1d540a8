// oidc-provider as an authorization server for one API, over TLS. Its keys are in a file, so that a rotation
// is another file and a restart. The argument is a JSON file with its settings.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2]));
const jwks = JSON.parse(readFileSync(settings.keys));

const client = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const certificate = new X509Certificate(readFileSync(settings.clientCert));

const provider = new Provider(settings.issuer, {
  jwks,
  clients: [
    ...settings.algorithms.map((alg) => ({
      ...client,
      client_id: `orders-${alg}`,
      client_secret: 'secret',
      token_endpoint_auth_method: 'client_secret_basic',
    })),
    {
      ...client,
      client_id: 'mtls',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      tls_client_certificate_bound_access_tokens: true,
      jwks: { keys: [{ ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] }] },
    },
  ],
  enabledJWA: { idTokenSigningAlgValues: settings.algorithms },
  scopes: ['orders:read'],
  clientAuthMethods: ['client_secret_basic', 'self_signed_tls_client_auth', 'none'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true },
    introspection: { enabled: false },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => {
        const peer = ctx.socket.getPeerCertificate(true);
        return peer?.raw ? new X509Certificate(peer.raw) : undefined;
      },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audience,
      useGrantedResource: async () => true,
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: 'orders:read',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: client.clientId.startsWith('orders-') ? client.clientId.slice(7) : settings.algorithms[0] } },
      }),
    },
  },
});

// The same server with each certificate: a good one, one of another host, one that has expired.
for (const { port, cert, key } of settings.listen) {
  createServer(
    {
      cert: readFileSync(cert),
      key: readFileSync(key),
      requestCert: true,
      // A self-signed certificate of a client is accepted here; the client's registration says which one it
      // has to be.
      rejectUnauthorized: false,
    },
    provider.callback(),
  ).listen(port, '127.0.0.1');
}
