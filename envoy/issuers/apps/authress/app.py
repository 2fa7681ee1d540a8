"""What is left of an application behind authress.yaml or authress-tenants.yaml: the filter has verified what it reads."""

import os

from flask import Flask, request

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return {"ok": True}


@app.get("/api")
def api():
    # To ask Authress on the user's behalf: the verified token, from the header or the cookie.
    token = request.headers.get("authorization", "")[7:] or request.cookies.get("authorization", "")
    return {
        "principalId": request.headers["x-jwt-sub"],
        "scopes": request.headers.get("x-jwt-scope", "").split(),
        "tenants": [tenant for tenant in request.headers.get("x-jwt-aud", "").split(",") if tenant],
        "tokenLength": len(token),
    }


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
