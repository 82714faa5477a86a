// The `ws` package on Node: what most people run in production. `bench` starts it
// (src/server/node_ws.rs).
//
// A text message is a subscribe command as of Tickcast's native protocol; a binary one is a 64-byte
// quote of the publisher, which goes to the topic of the instrument at its byte 24.
//
// What was tried is in README.md.
//
//   node node-ws.js --port PORT [--send frame|message]

const { WebSocketServer, Sender, WebSocket } = require("ws");

const { parseArgs } = require("node:util");
const { values } = parseArgs({
  options: { port: { type: "string" }, send: { type: "string", default: "frame" } },
});

const topics = new Map(); // name to set of sockets
const names = [];

// Sockets that have something to send at the end of this turn of the event loop, and what.
let dirty = [];

// Each quote is framed once, not once per subscriber, and a subscriber gets everything that came in one
// turn of the event loop with one write of one buffer: past `ws`, straight to its socket.
function publishFrame(quote) {
  const frame = Buffer.concat(
    Sender.frame(quote, { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true }),
  );
  if (dirty.length === 0) setImmediate(flush);
  for (const socket of subscribers(quote)) {
    if (socket.frames.length === 0) dirty.push(socket);
    socket.frames.push(frame);
  }
}

function flush() {
  const sockets = dirty;
  dirty = [];
  // Most subscribers have the same frames to send as the one before: join them once.
  let last = [];
  let joined = null;
  for (const socket of sockets) {
    const { frames } = socket;
    socket.frames = [];
    if (frames.length === 1) socket.tcp.write(frames[0]);
    else {
      if (frames.length !== last.length || frames.some((frame, i) => frame !== last[i])) {
        last = frames;
        joined = Buffer.concat(frames);
      }
      socket.tcp.write(joined);
    }
  }
}

// What the documentation of `ws` shows.
function publishMessage(quote) {
  for (const { ws } of subscribers(quote)) {
    if (ws.readyState === WebSocket.OPEN) ws.send(quote, { binary: true });
  }
}

function subscribers(quote) {
  const instrument = quote.readUInt32LE(24);
  return topics.get((names[instrument] ??= `S${instrument}.quote`)) ?? [];
}

const publish = values.send === "message" ? publishMessage : publishFrame;

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(values.port),
  backlog: 4096,
  perMessageDeflate: false,
  // Masks are removed from what the publisher sends, nothing else comes: `bufferutil` would change nothing.
  skipUTF8Validation: true,
  clientTracking: false,
});
server.on("connection", (ws, request) => {
  request.socket.setNoDelay(true);
  const socket = { ws, tcp: request.socket, frames: [] };
  ws.on("message", (message, isBinary) => {
    if (isBinary) return void publish(message);
    const command = JSON.parse(message.toString());
    for (const topic of command.topics) {
      if (!topics.has(topic)) topics.set(topic, new Set());
      topics.get(topic).add(socket);
    }
    const results = command.topics.map((topic) => ({ topic, ok: true }));
    ws.send(JSON.stringify({ op: "ack", id: command.id, results }));
  });
  ws.on("error", () => {});
  ws.on("close", () => {
    socket.frames = [];
    for (const sockets of topics.values()) sockets.delete(socket);
  });
});
