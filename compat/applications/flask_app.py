"""Flask-Session: sessions of a Flask application, kept in the server."""

import sys

import redis
from flask import Flask, session
from flask_session import Session

store = redis.Redis(port=int(sys.argv[1]))
app = Flask(__name__)
app.config.update(SECRET_KEY="x", SESSION_TYPE="redis", SESSION_REDIS=store, PERMANENT_SESSION_LIFETIME=600)
Session(app)


@app.get("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    session["what"] = {"list": [1, 2.5, None], "text": "naïve"}
    return str(session["count"])


@app.get("/leave")
def leave():
    session.clear()
    return "left"


one, other = app.test_client(), app.test_client()
assert [one.get("/count").text for _ in range(3)] == ["1", "2", "3"]
assert other.get("/count").text == "1"
keys = store.keys("session:*")
assert len(keys) == 2 and all(0 < store.ttl(key) <= 600 for key in keys)
one.get("/leave")
assert len(store.keys("session:*")) == 1
assert one.get("/count").text == "1"
