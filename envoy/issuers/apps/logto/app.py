"""What is left of an application behind logto.yaml: the filter has verified what it reads."""

import os

from flask import Flask, request

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return {"ok": True}


@app.get("/api")
def api():
    if "read:orders" not in request.headers.get("x-jwt-scope", "").split():
        return {"error": "insufficient_scope"}, 403
    return {"user": request.headers["x-jwt-sub"]}


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
