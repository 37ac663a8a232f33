// Steady: calls by a schedule, whatever becomes of those before; a stall is not omitted.
//   k6 run -e URL=http://127.0.0.1:8808/mcp -e RATE=1000 -e SECONDS=5 perf/k6/steady.js

import { echo, options as make, summary } from "./mcp.js";

export const options = make({
  executor: "constant-arrival-rate",
  rate: Number(__ENV.RATE || 1000),
  timeUnit: "1s",
  duration: `${__ENV.SECONDS || 5}s`,
  preAllocatedVUs: 100,
  maxVUs: 500,
});

export default function () {
  echo(__VU * 1e6 + __ITER);
}

export const handleSummary = summary;
