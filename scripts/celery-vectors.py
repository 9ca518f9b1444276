"""Makes test/celery/vectors.json: what Python, and so celery-singleton, makes of many argument sets.

    python3 scripts/celery-vectors.py > test/celery/vectors.json

Needs nothing but Python's standard library, and gives the same file every time. Each vector says how the arguments are
written in JavaScript (`args`, `kwargs`), the texts that are hashed, and the lock. In the arguments, an object with the
single member `$float` or `$int` is a float, by its `repr`, or an int that a JavaScript number cannot hold. A dict is the
list of its items under `$dict`, since some versions of V8 misread keys of one escaped character (24.21 of Node.js does).
"""
import hashlib
import inspect
import json
import math
import random
import struct
import sys

SEED = 20261125
GENERATED = 400
LARGEST_EXACT = 2**53 - 1

FLOATS = [
    0.0, -0.0, 1.0, -1.0, 100.0, 0.1, 0.2, 0.1 + 0.2, 1 / 3, 2 / 3, 123456789.125,
    0.001, 0.0001, 0.00012345, 0.00001, 0.000012345, 1e-07, 1.5e-07, 1e-09, 1e-10, 1e-100,
    1e15, 123456789012345.6, 999999999999999.9, 9999999999999998.0, 1e16, 1.2345678901234567e16, 12345678901234567890.0,
    1e17, 1e20, 1e21, 1.5e21, 1e22, 1e23, 1e100, 1.2e101, 9007199254740991.0, 9007199254740992.0, 9007199254740993.0,
    5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 4.9406564584124654e-320, 1.7976931348623157e308,
    -1.7976931348623157e308, math.pi, math.e, -math.pi * 1e-300, math.inf, -math.inf, math.nan,
]
INTS = [
    0, 1, -1, 7, 10, 2**31, -(2**31) - 1, 2**32, LARGEST_EXACT, -LARGEST_EXACT, LARGEST_EXACT + 1, -LARGEST_EXACT - 1,
    2**63, 2**64 - 1, -(2**64), 10**16, 10**21, 10**22 + 1, 3**200,
]
STRINGS = [
    "", "a", "b", "A", "0", "10", "9", "a b", "__proto__", "constructor", "toString", "$f", "null",
    '"', "\\", "/", "</script>", "'", "`${x}`", "\x00", "\x01", "\b\t\n\v\f\r", "\x1b[0m", "\x1f", " ", "~", "\x7f", "\x80",
    "\xa0", "é", "e\u0301", "ß", "İ", "ÿ", "Ā", "Ж", "日本語", "한글", "עברית", "\u200b", "\u2028", "\u2029", "\ud7ff", "\ue000",
    "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001f600", "👩\u200d👩\u200d👧", "\U0010ffff", "a\U0001f600", "a\uffff", "\U0001f600\uffff",
    "x" * 5_000, "é" * 1_000, "\U0001f600" * 500,
]


class Signature:
    """A task with parameters of every kind, and the names they have for soloist."""

    def __init__(self, function, parameters):
        self.signature = inspect.signature(function)
        self.parameters = parameters


def plain(user, force=False):
    pass


def every_kind(first, /, second, *rest, named=None, **more):
    pass


PLAIN = Signature(plain, ["user", "force"])
EVERY_KIND = Signature(every_kind, ["first", "/", "second", "*rest", "named", "**more"])


def shown(value):
    """The value as the file has it."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        # Also those that a plain number would say, every other time: both ways must give the same.
        alike = value % 1 != 0 and math.isfinite(value) and hash(value) % 2 == 0
        return value if alike else {"$float": repr(value)}
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_EXACT else {"$int": str(value)}
    if isinstance(value, dict):
        return {"$dict": [[key, shown(item)] for key, item in value.items()]}
    return [shown(item) for item in value]


def vector(task, args, kwargs, unique_on=None, signature=None, prefix="SINGLETONLOCK_"):
    counted_args, counted_kwargs = args, kwargs
    # As celery-singleton 0.3.1 asks: an empty list counts as not set.
    if unique_on:
        names = [unique_on] if isinstance(unique_on, str) else unique_on
        bound = signature.signature.bind(*args, **kwargs).arguments
        counted_args, counted_kwargs = [], {name: bound[name] for name in names}
    texts = [json.dumps(counted_args or [], sort_keys=True), json.dumps(counted_kwargs or {}, sort_keys=True)]
    made = {"task": task, "args": shown(args), "kwargs": shown(kwargs)}
    if unique_on is not None:
        made |= {"uniqueOn": unique_on, "parameters": signature.parameters}
    if prefix != "SINGLETONLOCK_":
        made["prefix"] = prefix
    digest = hashlib.md5((task + "".join(texts)).encode()).hexdigest()
    # Long texts would only make the file long: their digest is in the lock.
    if sum(map(len, texts)) <= 300:
        made["texts"] = texts
    return made | {"lock": prefix + digest}


def handmade():
    yield vector("tasks.do_stuff", [1, 2, 3], {"a": "b"})
    yield vector("tasks.do_stuff", [], {})
    yield vector("tasks.do_stuff", [], {}, prefix="app*[1]:")
    yield vector("tâche.\U0001f600", [True, False, None], {})
    yield vector("t", [(1, 2), [], {}, [[]], [{}], {"a": {}}], {"": ""})
    yield vector("t", [1], {})
    yield vector("t", [1.0], {})
    yield vector("t", [True], {})
    yield vector("t", ["1"], {})
    for value in FLOATS + INTS:
        yield vector("numbers", [value], {"value": [value, {"again": value}]})
    for text in STRINGS:
        yield vector("strings", [text], {text: text, text + "z": [text]})
    # Keys whose order by code point is not that by UTF-16, nor that in which an engine keeps them.
    yield vector("order", [], {"\uffff": 1, "\U00010000": 2, "\ue000": 3, "\ud7ff": 4, "a": 5, "10": 6, "9": 7, "": 8})
    yield vector("order", [], {"a\U0001f600": 1, "a\uffff": 2, "a": 3, "aa": 4, "a\U0001f600b": 5, "a\U0001f600a": 6})
    yield vector("order", [{"b": {"z": 1, "y": [{"d": 1, "c": 2}]}, "a": 0}], {"Z": 1, "a": 2, "_": 3, "é": 4})
    # unique_on
    for args, kwargs in [([7], {}), ([7, True], {}), ([], {"user": 7}), ([7], {"force": True})]:
        yield vector("on", args, kwargs, "user", PLAIN)
        yield vector("on", args, kwargs, ["user"], PLAIN)
        yield vector("on", args, kwargs, [], PLAIN)
    yield vector("on", [], {}, [], PLAIN)
    yield vector("on", [7, True], {}, ["force", "user"], PLAIN)
    yield vector("on", [], {"force": 1.0, "user": {"id": 2**70}}, ["user", "force", "user"], PLAIN)
    for names in ["first", "second", "rest", "named", "more", ["more", "rest"]]:
        yield vector("on", [1, 2, 3, 4.0], {"named": None, "first": "extra", "x": [1]}, names, EVERY_KIND)
    yield vector("on", [1], {"second": 2, "b": 1, "a": 2}, ["second", "more"], EVERY_KIND)


def generated(chance):
    def character():
        while True:
            limit = chance.choice([0x80, 0x100, 0x800, 0x10000, 0x110000])
            code = chance.randrange(limit)
            if not 0xD800 <= code <= 0xDFFF:
                return chr(code)

    def string():
        if chance.random() < 0.3:
            return chance.choice([text for text in STRINGS if len(text) < 100])
        return "".join(character() for _ in range(chance.randrange(12)))

    def number():
        if chance.random() < 0.3:
            return chance.choice(FLOATS + INTS)
        if chance.random() < 0.4:
            return chance.randrange(-(10 ** chance.randrange(1, 40)), 10 ** chance.randrange(1, 40))
        if chance.random() < 0.5:
            return round(chance.uniform(-1000, 1000), chance.randrange(6))
        # Any bit pattern: every magnitude, also subnormal.
        (value,) = struct.unpack("<d", chance.randbytes(8))
        return value

    def value(depth):
        kind = chance.random()
        if depth > 0 and kind < 0.2:
            return {string(): value(depth - 1) for _ in range(chance.randrange(6))}
        if depth > 0 and kind < 0.4:
            return [value(depth - 1) for _ in range(chance.randrange(5))]
        if kind < 0.5:
            return chance.choice([None, True, False])
        return string() if kind < 0.7 else number()

    for i in range(GENERATED):
        args = [value(3) for _ in range(chance.randrange(4))]
        kwargs = {string(): value(3) for _ in range(chance.randrange(4))}
        yield vector(f"app.tasks.generated_{i % 7}", args, kwargs)


vectors = [*handmade(), *generated(random.Random(SEED))]
lines = ",\n".join(json.dumps(made, separators=(",", ":")) for made in vectors)
sys.stdout.write(f"[\n{lines}\n]\n")
