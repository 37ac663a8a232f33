// Burst: a tenth of the rate, then the rate at once, then a tenth again, twice.
//   k6 run -e URL=http://127.0.0.1:8808/mcp -e RATE=3000 -e SECONDS=5 perf/k6/burst.js

import { echo, options as make, summary } from "./mcp.js";

const rate = Number(__ENV.RATE || 3000);
const stage = `${Math.round((Number(__ENV.SECONDS || 5) * 1000) / 4)}ms`;
const calm = Math.round(rate / 10);
const burst = [{ target: rate, duration: "1ms" }, { target: rate, duration: stage }];
const pause = [{ target: calm, duration: "1ms" }, { target: calm, duration: stage }];

export const options = make({
  executor: "ramping-arrival-rate",
  startRate: calm,
  timeUnit: "1s",
  stages: [...pause, ...burst, ...pause, ...burst],
  preAllocatedVUs: 200,
  maxVUs: 1000,
});

export default function () {
  echo(__VU * 1e6 + __ITER);
}

export const handleSummary = summary;
