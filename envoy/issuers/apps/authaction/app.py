"""What is left of an application behind authaction.yaml: the filter has verified what it reads."""

import base64
import json
import os

from flask import Flask, request

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return {"ok": True}


@app.get("/public")
def public():
    return {"message": "open to all"}


@app.get("/protected")
def protected():
    payload = request.headers["x-jwt-payload"]
    return {"user": json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))}


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
