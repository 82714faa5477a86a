// Bun's native WebSocket publish and subscribe, which is uWebSockets inside: one of the servers that
// Tickcast is compared with. `bench` starts it
// (src/server/bun.rs).
//
// A text message is a subscribe command as of Tickcast's native protocol; a binary one is a 64-byte
// quote of the publisher, which goes to the topic of the instrument at its byte 24.
//
// What was tried is in README.md.
//
//   node_modules/.bin/bun bun.js --port PORT [--flush tick|turn]

const { parseArgs } = require("node:util");
const { values } = parseArgs({
  options: { port: { type: "string" }, flush: { type: "string", default: "tick" } },
});
const turn = values.flush === "turn";

const topics = [];
const topic = (instrument) => (topics[instrument] ??= `S${instrument}.quote`);

// --flush turn: what came for a topic in one turn of the event loop goes out as one message.
let pending = new Map();
function gather(name, quote) {
  const quotes = pending.get(name);
  if (quotes) return void quotes.push(quote);
  pending.set(name, [quote]);
  if (pending.size === 1) setImmediate(flush);
}
function flush() {
  const gathered = pending;
  pending = new Map();
  for (const [name, quotes] of gathered) server.publish(name, Buffer.concat(quotes), false);
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(values.port),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("WebSocket only", { status: 426 })),
  websocket: {
    // Quotes do not compress, and the attempt costs more than everything else here.
    perMessageDeflate: false,
    // No timers, no pings: everybody is measured without them.
    idleTimeout: 0,
    sendPings: false,
    publishToSelf: false,
    // The default is 1 MiB a socket, then quotes are dropped silently; nothing shall be.
    backpressureLimit: 1 << 30,
    closeOnBackpressureLimit: false,
    maxPayloadLength: 1 << 20,
    open(ws) {
      // No copy into another kind of buffer on the way in.
      ws.binaryType = "nodebuffer";
    },
    message(ws, message) {
      if (typeof message !== "string") {
        const name = topic(message.readUInt32LE(24));
        if (turn) gather(name, message);
        else server.publish(name, message, false);
        return;
      }
      const { id, topics } = JSON.parse(message);
      for (const name of topics) ws.subscribe(name);
      ws.send(JSON.stringify({ op: "ack", id, results: topics.map((topic) => ({ topic, ok: true })) }));
    },
  },
});
