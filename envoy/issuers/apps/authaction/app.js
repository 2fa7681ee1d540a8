// What is left of an application behind authaction.yaml: the filter has verified what it reads.
const express = require('express');
const app = express();

app.get('/healthz', (req, res) => res.json({ ok: true }));

app.get('/public', (req, res) => res.json({ message: 'open to all' }));

app.get('/protected', (req, res) => {
  res.json({ user: JSON.parse(Buffer.from(req.get('x-jwt-payload'), 'base64url').toString()) });
});

app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
