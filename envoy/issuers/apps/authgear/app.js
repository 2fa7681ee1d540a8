// What is left of an application behind authgear.yaml: the filter has verified what it reads.
const express = require('express');
const app = express();

const claims = (req) => JSON.parse(Buffer.from(req.get('x-jwt-payload'), 'base64url').toString());

app.get('/healthz', (req, res) => res.json({ ok: true }));

app.get('/api', (req, res) => {
  res.json({ user: claims(req).sub ?? null, verified: req.get('x-user-verified') === 'true' });
});

app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
