-- Echo: a tool call a request, closed loop.
--
-- Promise: ids are unique in a run; an HTTP status other than 200 and a JSON-RPC error are both counted.
-- The last line printed is one JSON value. A closed loop waits when the server does: its tail is that of
-- the requests it sent, not of those it would have (perf/k6/steady.js is the open loop).
--
--   wrk -t2 -c32 -d5s -s perf/wrk/echo.lua http://127.0.0.1:8808/mcp [SESSION...]

local BODY = '{"jsonrpc":"2.0","id":%d%09d,"method":"tools/call",'
  .. '"params":{"name":"echo","arguments":{"message":"hello hello hello"}}}'

local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
end

local function head(session)
  local lines = {
    "POST " .. wrk.path .. " HTTP/1.1",
    "Host: " .. wrk.host .. ":" .. wrk.port,
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    "Mcp-Protocol-Version: 2025-11-25",
    "Content-Length: " .. #string.format(BODY, number, 0),
  }
  if session then table.insert(lines, "Mcp-Session-Id: " .. session) end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

function init(args)
  heads, asked, refused, faults = {}, 0, 0, 0
  for _, session in ipairs(args) do table.insert(heads, head(session)) end
  if #heads == 0 then table.insert(heads, head(nil)) end
end

function request()
  asked = asked + 1
  return heads[asked % #heads + 1] .. string.format(BODY, number, asked)
end

function response(status, _, body)
  if status ~= 200 then
    refused = refused + 1
  elseif body:find('"error":', 1, true) then
    faults = faults + 1
  end
end

function done(summary, latency)
  local refused, faults = 0, 0
  for _, thread in ipairs(threads) do
    refused, faults = refused + thread:get("refused"), faults + thread:get("faults")
  end
  local errors = summary.errors
  local seconds = summary.duration / 1e6
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"per_second":%.1f,"p50_us":%.1f,"p95_us":%.1f,"p99_us":%.1f,"max_us":%.1f,'
      .. '"errors":%d,"refused":%d,"faults":%d}\n',
    summary.requests, seconds, summary.requests / seconds, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout, refused, faults))
end
