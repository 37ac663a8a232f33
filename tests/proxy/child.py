"""A scripted MCP server over standard streams: it does what a test asks of it, good or bad."""

import json
import os
import signal
import sys
import threading
import time

lock = threading.Lock()
cancelled, count, asked = [], 0, {}
wishes, subscribed, held = [], set(), []
agreed, pings = None, 0


def send(message):
    raw(json.dumps({"jsonrpc": "2.0", **message}).encode())


def raw(line):
    with lock:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def text(message_id, value):
    send({"id": message_id, "result": {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}})


def updated(uri):
    send({"method": "notifications/resources/updated", "params": {"uri": uri, "by": os.getpid()}})


def call(message_id, name, arguments, meta):
    global count
    if name == "pid":
        text(message_id, os.getpid())
    elif name == "echo":
        text(message_id, arguments)
    elif name == "count":
        count += 1
        text(message_id, count)
    elif name == "pings":
        text(message_id, pings)
    elif name == "revision":
        text(message_id, agreed)
    elif name == "ask":
        asked[arguments.get("id", "question")] = message_id
        send({"id": arguments.get("id", "question"), "method": arguments.get("method", "sampling/createMessage"), "params": {}})
    elif name == "progress":
        for step in range(arguments.get("steps", 2)):
            send({"method": "notifications/progress", "params": {"progressToken": meta.get("progressToken"), "progress": step}})
        text(message_id, meta)
    elif name == "log":
        send({"method": "notifications/message", "params": {"level": "info", "data": arguments.get("data")}})
        text(message_id, "logged")
    elif name == "changed":
        send({"method": "notifications/tools/list_changed"})
        text(message_id, "changed")
    elif name == "wishes":
        text(message_id, wishes)
    elif name == "update":
        if arguments.get("whole", arguments["uri"]) in subscribed:
            updated(arguments["uri"])
        text(message_id, "updated")
    elif name == "release":
        while held:
            send(held.pop(0))
        text(message_id, "released")
    elif name == "noise":
        for line in (b"plain words", b"\xff\xfe\x00", b"", b"{\"broken\":", b"[1,2]", b'{"jsonrpc":"2.0","id":424242,"result":{}}'):
            raw(line)
        text(message_id, "survived")
    elif name == "broken":
        raw(arguments["line"].replace("ID", json.dumps(message_id)).encode())
    elif name == "latin":
        raw(b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"caf\xe9"}]}}' % json.dumps(message_id).encode())
    elif name == "torn":  # dies between two bytes of its answer
        answer = '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"\u20ac"}]}}' % json.dumps(message_id)
        sys.stdout.buffer.write(answer.encode()[:arguments["at"]])
        sys.stdout.buffer.flush()
        os._exit(3)
    elif name == "twice":
        text(message_id, "first")
        text(message_id, "second")
    elif name == "after":
        text(message_id, "answered")
        raw(arguments["line"].encode())
    elif name == "big":
        if "progressToken" in meta:
            send({"method": "notifications/progress", "params": {"progressToken": meta["progressToken"], "progress": 0}})
        text(message_id, "x" * arguments["bytes"])
    elif name == "stderr":
        sys.stderr.write("a line of an error\n" * arguments["lines"])
        sys.stderr.flush()
        text(message_id, "said")
    elif name == "hang":
        pass
    elif name == "cancelled":
        text(message_id, cancelled)
    elif name == "late":  # reads nothing meanwhile: its time is what the test is about
        time.sleep(arguments["ms"] / 1000)
        text(message_id, "late")
    elif name == "sleep":
        if "progressToken" in meta:
            send({"method": "notifications/progress", "params": {"progressToken": meta["progressToken"], "progress": 0}})
        threading.Timer(arguments["ms"] / 1000, text, (message_id, "slept")).start()
    elif name == "deaf":  # answers, and reads nothing more
        text(message_id, "deaf")
        time.sleep(600)
    elif name == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name == "endless":
        def tick(step=0):
            send({"method": "notifications/progress", "params": {"progressToken": meta.get("progressToken"), "progress": step}})
            if arguments.get("uri") in subscribed:
                updated(arguments["uri"])
            threading.Timer(0.02, tick, (step + 1,)).start()
        tick()
    elif name == "die":
        os._exit(3)
    elif name == "close_stdout":
        os.close(1)
        time.sleep(600)
    else:
        send({"id": message_id, "error": {"code": -32602, "message": "no such tool"}})


ROUTED = {"type": "object", "properties": {
    "region": {"type": "string", "x-mcp-header": "Region"},
    "count": {"type": "integer", "x-mcp-header": "Count"},
    "inner": {"type": "object", "properties": {"deep": {"type": "boolean", "x-mcp-header": "Deep"}}}}}
TAG = "io.modelcontextprotocol/subscriptionId"
listening = []


def modern(message):
    """Answers as a server of 2026-07-28 does; False: as an older one does."""
    method, message_id, params = message["method"], message["id"], message.get("params") or {}
    name = params.get("name")
    if method == "server/discover":
        for mark in (flag.removeprefix("frail:") for flag in sys.argv if flag.startswith("frail:")):
            if os.path.exists(mark):
                os.remove(mark)
                os._exit(5)
        send({"id": message_id, "result": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                                           "ttlMs": 1000, "cacheScope": "public"}})
    elif method == "subscriptions/listen":
        listening.append(message_id)
        send({"method": "notifications/subscriptions/acknowledged", "params": {"_meta": {TAG: message_id}, "notifications": params.get("notifications")}})
    elif method == "tools/call" and name == "confirm":
        if "requestState" not in params:
            send({"id": message_id, "result": {"resultType": "input_required", "requestState": str(os.getpid()),
                                               "inputRequests": {"sure": {"method": "elicitation/create", "params": {}}}}})
        elif params["requestState"] != str(os.getpid()):
            send({"id": message_id, "error": {"code": -32602, "message": "not a state of this process"}})
        else:
            text(message_id, params.get("inputResponses"))
    elif method == "tools/call" and name == "task":
        send({"id": message_id, "result": {"resultType": "task", "taskId": f"task-{os.getpid()}"}})
    elif method == "tasks/get":
        send({"id": message_id, "result": {"resultType": "complete", "mine": params["taskId"] == f"task-{os.getpid()}"}})
    elif method == "tools/call" and name == "publish":
        for tag in listening:
            send({"method": "notifications/tools/list_changed", "params": {"_meta": {TAG: tag}}})
        text(message_id, "published")
    elif method == "tools/call" and name == "unlisten":
        for tag in listening:
            send({"id": tag, "result": {"resultType": "complete", "_meta": {TAG: tag}}})
        text(message_id, "done")
    elif method == "tools/call" and name == "needs":
        send({"id": message_id, "error": {"code": -32021, "message": "needs elicitation", "data": {"required": {"elicitation": {}}}}})
    elif method == "tools/list" and "heads" in sys.argv:
        send({"id": message_id, "result": {"resultType": "complete", "tools": [{"name": "routed", "inputSchema": ROUTED}], "ttlMs": 5, "cacheScope": "public"}})
    elif method == "tools/call" and name == "routed":
        text(message_id, params.get("arguments"))
    elif method == "tools/list":
        send({"id": message_id, "result": {"resultType": "complete", "tools": [], "ttlMs": 5, "cacheScope": "public"}})
    elif method == "tools/call":
        return False
    else:
        send({"id": message_id, "error": {"code": -32601, "message": f"no such method: {method}"}})
    return True


def wish(message_id, method, uri):
    """Subscribes, or no more. `refused:` is an error, `once:` is one the first time; the first answer of `once:` and
    `held:` waits for a release. `deaf:` is told of for ever. `mute:` is not answered by who makes the file."""
    first = [method, uri] not in wishes
    wishes.append([method, uri])
    answer = {"id": message_id, "result": {}}
    if method == "unsubscribe":
        if not uri.startswith("deaf:"):
            subscribed.discard(uri)
    elif uri.startswith("die:"):
        os._exit(3)
    elif uri.startswith("refused:") or (uri.startswith("once:") and first):
        answer = {"id": message_id, "error": {"code": -32002, "message": "no such resource"}}
    else:
        subscribed.add(uri)
    if uri.startswith("mute:") and method == "subscribe" and not os.path.exists(uri.removeprefix("mute:")):
        open(uri.removeprefix("mute:"), "w").close()
    elif uri.startswith(("held:", "once:")) and first:
        held.append(answer)
    else:
        send(answer)


def agree(wanted):
    """The revision of a handshake. `speaks:` is the only one; `spoken:` is a file that may name one by then."""
    for flag in sys.argv:
        if flag.startswith("speaks:"):
            return flag.removeprefix("speaks:")
        if flag.startswith("spoken:") and os.path.exists(flag.removeprefix("spoken:")):
            return open(flag.removeprefix("spoken:")).read()
    return wanted


def lines(flags):
    """The lines of the input; `late`: none before the second one is there."""
    held = []
    for line in sys.stdin.buffer:
        held.append(line)
        if "late" not in flags or len(held) > 1:
            yield from held
            held.clear()
            flags = []


def main():
    global agreed, pings
    flags = sys.argv[1:]
    if "deaf" in flags:
        time.sleep(600)
    for line in lines(flags):
        message = json.loads(line)
        method, message_id, params = message.get("method"), message.get("id"), message.get("params") or {}
        if method == "ping":
            pings += 1
            if "chatty" in flags:
                send({"method": "notifications/message", "params": {"level": "debug", "data": "asked"}})
        if "modern" in flags and message_id is not None and method is not None:
            if modern(message):
                continue
        elif "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {}) and method != "server/discover":
            send({"id": message_id, "error": {"code": -32600, "message": "this connection has a handshake"}})
            continue
        elif method == "server/discover":
            if "strict" in flags:
                os._exit(4)
            if "mute" not in flags:
                send({"id": message_id, "error": {"code": -32601, "message": "no such method"}})
            continue
        if method == "initialize":
            agreed = agree(params.get("protocolVersion"))
            if "refuse" in flags or f"refuse:{agreed}" in flags:
                send({"id": message_id, "error": {"code": -32000, "message": "not today"}})
                continue
            send({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
            capabilities = {"tools": {"listChanged": True}, "logging": {}}
            if "resources" in flags:
                capabilities["resources"] = {"subscribe": True}
            send({"id": message_id, "result": {"protocolVersion": agreed, "capabilities": capabilities,
                                               "serverInfo": {"name": "scripted", "version": str(os.getpid())}, "offered": params.get("capabilities")}})
        elif method == "tools/call":
            call(message_id, params.get("name"), params.get("arguments") or {}, params.get("_meta") or {})
        elif "resources" in flags and method in ("resources/subscribe", "resources/unsubscribe"):
            wish(message_id, method.removeprefix("resources/"), params["uri"])
        elif method == "resources/read" and params.get("uri", "").startswith("die-once:"):
            mark = params["uri"].removeprefix("die-once:")
            if not os.path.exists(mark):
                open(mark, "w").close()
                os._exit(3)
            send({"id": message_id, "result": {"contents": [{"uri": params["uri"], "text": str(os.getpid())}]}})
        elif method == "notifications/cancelled":
            cancelled.append(params)
        elif method is None and message_id in asked:
            text(asked.pop(message_id), {"result": message.get("result"), "error": message.get("error")})
        elif message_id is not None:
            send({"id": message_id, "result": {"method": method, "params": params}})


main()
