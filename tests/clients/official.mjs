// Drives a running proxy with the official TypeScript clients, v1 and v2.
//
// usage: node official.mjs PACKAGES MCP_URL v1 | v2-legacy | v2-auto | v2-modern
// Prints a line for each fact it saw; the exit code is 0 only if it saw them all.

import assert from "node:assert";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [packages, url, which] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const saw = (fact) => console.log(`saw: ${which}: ${fact}`);
const who = { name: "official", version: "1" };

async function connected() {
  if (which === "v1") {
    const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(who);
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
  const mode = { "v2-legacy": "legacy", "v2-auto": "auto", "v2-modern": { pin: "2026-07-28" } }[which];
  const client = new Client(who, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

const client = await connected();
saw("connected");
const { tools } = await client.listTools();
assert(tools.some((tool) => tool.name === "echo"), JSON.stringify(tools));
saw(`${tools.length} tools`);
const calls = Array.from({ length: 20 }, (_, n) => client.callTool({ name: "echo", arguments: { message: `n${n}` } }));
for (const [n, result] of (await Promise.all(calls)).entries()) {
  assert(result.content[0].text.endsWith(`n${n}`), JSON.stringify(result));
}
saw("20 calls at once, each with its own answer");
await client.close();
saw("closed");
process.exit(0);
