"""A server each of whose messages says which call it is about. Calls that it holds are answered before the next one is;
every so many calls it dies: before it says anything, after it said something, or between two bytes of its answer."""

import json
import os
import sys

modern, deadly = "modern" in sys.argv, int(sys.argv[-2])
calls, held = 0, []


def send(message, end="\n"):
    line = json.dumps({"jsonrpc": "2.0", **message})
    sys.stdout.write(line + end if end else line[: len(line) // 2])
    sys.stdout.flush()


def tell(mark, params):
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "message": mark}})
    send({"method": "notifications/message", "params": {"level": "info", "data": mark}})


def answer(message_id, mark, params, end="\n"):
    tell(mark, params)
    send({"id": message_id, "result": {"resultType": "complete", "content": [{"type": "text", "text": mark}]}}, end)


def call(message_id, params):
    global calls
    calls += 1
    mark = params["arguments"]["mark"]
    dies = calls == deadly or "die" in params["arguments"]
    way = sum(map(ord, mark)) % 3 if dies else None
    if way == 0:
        os._exit(3)
    tell(mark, params)
    if way == 1:
        os._exit(3)
    if params["name"] == "hold" and not dies:
        held.append((message_id, mark, params))
        return
    while held:
        answer(*held.pop(0))
    answer(message_id, mark, params, "" if dies else "\n")
    if dies:
        os._exit(3)


for line in sys.stdin:
    message = json.loads(line)
    method, message_id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "tools/call":
        call(message_id, params)
    elif method == "server/discover" and modern:
        send({"id": message_id, "result": {"resultType": "complete", "supportedVersions": ["2026-07-28"],
                                           "capabilities": {"tools": {}}, "ttlMs": 1, "cacheScope": "public"}})
    elif method == "initialize" and not modern:
        send({"id": message_id, "result": {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}, "logging": {}},
                                           "serverInfo": {"name": "marking", "version": "1"}}})
    elif message_id is not None:
        send({"id": message_id, "error": {"code": -32601, "message": "no such method"}})
