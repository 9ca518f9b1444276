"""A producer and a worker that do to Redis what celery-singleton does, with Python's standard library alone.

    python3 singleton.py HOST PORT

Each line of its input is a command in JSON, each line of its output the answer:

    {"do": "apply", "task", "args", "kwargs", "id", "expiry"}  SET NX [EX], and GET where it failed: {"lock", "holder"}
    {"do": "finish", "task", "body"}                            DEL of the lock of a message: {"lock", "deleted"}
    {"do": "bodies"}                                            what json.loads reads in a body: {"repr"}
"""
import hashlib
import json
import socket
import sys

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
replies = connection.makefile("rb")


def call(*args):
    parts = [str(arg).encode() for arg in args]
    connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    line = replies.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else replies.read(int(rest) + 2)[:-2].decode()
    return rest.decode()


def lock_of(task, args, kwargs):
    text = task + json.dumps(args or [], sort_keys=True) + json.dumps(kwargs or {}, sort_keys=True)
    return "SINGLETONLOCK_" + hashlib.md5(text.encode()).hexdigest()


def apply(command):
    lock = lock_of(command["task"], command["args"], command["kwargs"])
    expiry = command.get("expiry")
    while True:
        if call("SET", lock, command["id"], "NX", *(["EX", expiry] if expiry else [])) is not None:
            return {"lock": lock, "holder": command["id"]}
        holder = call("GET", lock)
        if holder is not None:
            return {"lock": lock, "holder": holder}


def finish(command):
    args, kwargs, _ = json.loads(command["body"])
    lock = lock_of(command["task"], args, kwargs)
    return {"lock": lock, "deleted": call("DEL", lock)}


def bodies(command):
    return {"repr": repr(json.loads(command["body"]))}


for line in sys.stdin:
    command = json.loads(line)
    print(json.dumps({"apply": apply, "finish": finish, "bodies": bodies}[command["do"]](command)), flush=True)
