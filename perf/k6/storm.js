// Storm: every client connects anew for each request, opens a session, calls once, and ends it. What is
// counted and timed is such a visit.
//   k6 run -e URL=http://127.0.0.1:8808/mcp -e CLIENTS=32 -e SECONDS=5 perf/k6/storm.js

import { close, echo, open, options as make, visits } from "./mcp.js";

export const options = make(
  {
    executor: "constant-vus",
    vus: Number(__ENV.CLIENTS || 32),
    duration: `${__ENV.SECONDS || 5}s`,
  },
  { noConnectionReuse: true, noVUConnectionReuse: true },
);

export default function () {
  const session = open();
  if (!session) return;
  echo(1, session);
  close(session);
}

export const handleSummary = visits;
