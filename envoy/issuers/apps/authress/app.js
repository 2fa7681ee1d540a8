// What is left of an application behind authress.yaml or authress-tenants.yaml: the filter has verified what
// it reads.
const express = require('express');
const app = express();

app.get('/healthz', (req, res) => res.json({ ok: true }));

const cookie = (req) => /(?:^|; )authorization=([^;]*)/.exec(req.get('cookie') ?? '')?.[1] ?? '';

app.get('/api', (req, res) => {
  // To ask Authress on the user's behalf: the verified token, from the header or the cookie.
  const token = req.get('authorization')?.slice(7) ?? cookie(req);
  res.json({
    principalId: req.get('x-jwt-sub'),
    scopes: (req.get('x-jwt-scope') ?? '').split(' ').filter(Boolean),
    tenants: (req.get('x-jwt-aud') ?? '').split(',').filter(Boolean),
    tokenLength: token.length,
  });
});

app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
