"""What the RQ worker of `rq_app.py` does."""


def add(one, other):
    return one + other


def fail():
    raise ValueError("no luck")
