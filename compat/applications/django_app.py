"""Django's cache framework on its Redis backend."""

import sys
import time

import django
from django.conf import settings

LOCATION = f"redis://127.0.0.1:{sys.argv[1]}"
BACKEND = "django.core.cache.backends.redis.RedisCache"
settings.configure(
    CACHES={
        "default": {"BACKEND": BACKEND, "LOCATION": LOCATION},
        "other": {"BACKEND": BACKEND, "LOCATION": LOCATION, "OPTIONS": {"db": 1}, "KEY_PREFIX": "o", "TIMEOUT": None},
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import cache, caches

cache.set("greeting", {"hello": ["world", 1, 2.5, None]}, 30)
assert cache.get("greeting") == {"hello": ["world", 1, 2.5, None]}
assert cache.add("greeting", 1) is False and cache.add("new", 1) is True
cache.set_many({"a": 1, "b": "two", "c": b"three"}, 30)
assert cache.get_many(["a", "b", "c", "none"]) == {"a": 1, "b": "two", "c": b"three"}
assert cache.incr("a", 4) == 5 and cache.decr("a") == 4
try:
    cache.incr("none")
    raise AssertionError("it was not missed")
except ValueError:
    pass
assert cache.get_or_set("made", lambda: 42, 30) == 42 and cache.get("made") == 42
cache.set("brief", 1, 0.2)
assert cache.touch("greeting", 60) and not cache.touch("none")
cache.delete_many(["b", "c"])
assert not cache.has_key("b") and "greeting" in cache and cache.delete("greeting") and not cache.delete("greeting")
cache.set("versions", "one", version=1)
assert cache.incr_version("versions") == 2 and cache.get("versions", version=2) == "one"
other = caches["other"]
other.set("kept", "for ever")
assert other.ttl("kept") is None if hasattr(other, "ttl") else other.get("kept") == "for ever"
time.sleep(1.1)
assert cache.get("brief") is None
session = SessionStore()
session["user"] = 7
session.set_expiry(60)
session.save()
assert SessionStore(session.session_key)["user"] == 7
session.cycle_key()
session.flush()
cache.clear()
assert cache.get("a") is None and other.get("kept") == "for ever"
