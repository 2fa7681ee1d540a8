// What is left of an application behind logto.yaml: the filter has verified what it reads.
const express = require('express');
const app = express();

app.get('/healthz', (req, res) => res.json({ ok: true }));

const needs = (scope) => (req, res, next) =>
  (req.get('x-jwt-scope') ?? '').split(' ').includes(scope)
    ? next()
    : res.status(403).json({ error: 'insufficient_scope' });

app.get('/api', needs('read:orders'), (req, res) => res.json({ user: req.get('x-jwt-sub') }));

app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
