// MCP over HTTP for the k6 scripts: one call, one session, one summary.

import http from "k6/http";
import { Counter } from "k6/metrics";

export const URL = __ENV.URL;
const faults = new Counter("faults");
const SHOWN = { "p(50)": "p50_us", "p(95)": "p95_us", "p(99)": "p99_us", max: "max_us" };

export const options = (scenario, more) => ({
  scenarios: { load: scenario },
  summaryTrendStats: Object.keys(SHOWN),
  ...more,
});

function headers(session) {
  const all = {
    "Content-Type": "application/json",
    Accept: "application/json, text/event-stream",
    "Mcp-Protocol-Version": "2025-11-25",
  };
  return { headers: session ? { ...all, "Mcp-Session-Id": session } : all };
}

/** One message; a status that was not expected and a JSON-RPC error are faults. */
export function post(message, session) {
  const reply = http.post(URL, JSON.stringify({ jsonrpc: "2.0", ...message }), headers(session));
  if (![200, 202].includes(reply.status) || (reply.body || "").includes('"error":')) faults.add(1);
  return reply;
}

export function echo(id, session) {
  const params = { name: "echo", arguments: { message: "hello hello hello" } };
  return post({ id, method: "tools/call", params }, session);
}

/** Opens a session; nothing where it was refused. */
export function open() {
  const clientInfo = { name: "k6", version: "1" };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
  const reply = post({ id: 0, method: "initialize", params });
  const session = reply.headers["Mcp-Session-Id"];
  if (session) post({ method: "notifications/initialized" }, session);
  return session;
}

export function close(session) {
  http.del(URL, null, headers(session));
}

/** The figures of single requests, in the shape of what the wrk scripts print. */
export const summary = (data) => figures(data, data.metrics.http_req_duration, data.metrics.http_reqs);

/** The same of whole visits: a time runs from the first connect to the last answer. */
export const visits = (data) => figures(data, data.metrics.iteration_duration, data.metrics.iterations);

function figures(data, times, requests) {
  const { http_req_failed: failed } = data.metrics;
  const count = (metric) => (data.metrics[metric] ? data.metrics[metric].values.count : 0);
  const found = {
    requests: requests.values.count,
    seconds: data.state.testRunDurationMs / 1e3,
    per_second: requests.values.rate,
    errors: failed.values.passes,
    refused: 0,
    faults: count("faults"),
    not_sent: count("dropped_iterations"),
  };
  for (const [stat, name] of Object.entries(SHOWN)) found[name] = times.values[stat] * 1e3;
  return { stdout: JSON.stringify(found) + "\n" };
}
