// Live quotes over the native WebSocket protocol, subprotocol tickcast.v1.json.
//
// Only what is on the screen is subscribed, conflated, at a pace an eye can follow: the gateway
// skips the rest and says how much, which is what the gap counters show.

const ROWS_MAX = 100;
const UPDATES_PER_SECOND = 4;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15_000;
// From this close code on, reconnecting is of no use (docs/protocol: 4500 to 4999).
const CLOSE_FOR_GOOD = 4500;

const element = (id) => document.getElementById(id);

/** What is known of each symbol. */
const instruments = new Map();
/** The rows on the screen, by symbol. */
const rows = new Map();
/** Symbols whose rows must be drawn again. */
const stale = new Set();
const gaps = { conflated: 0n, lost: 0n };
let socket = null;
let retryMs = RETRY_FIRST_MS;
let events = 0;
let commandId = 0;

function show(state, text) {
  element("state").dataset.state = state;
  element("state").textContent = text;
}

// ---- the connection ----

function connect() {
  show("connecting", "connecting");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${location.host}/v1/stream`;
  element("url").textContent = url;
  socket = new WebSocket(url, "tickcast.v1.json");
  socket.onmessage = (message) => {
    const content = JSON.parse(message.data);
    if (Array.isArray(content)) content.forEach(handleEvent);
    else handleReply(content);
  };
  socket.onclose = (close) => {
    rows.forEach((row) => { row.subscribed = false; });
    const why = close.reason || `code ${close.code}`;
    if (close.code >= CLOSE_FOR_GOOD) {
      show("closed", `closed for good: ${why}`);
      return;
    }
    retry(`disconnected (${why})`);
  };
}

/** Starts over after a pause that grows, and is random: a restarted gateway must not meet all its
 *  clients at once. */
function retry(why) {
  const waitMs = retryMs * (0.5 + Math.random());
  retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  element("feed").textContent = "–";
  show("closed", `${why}, again in ${(waitMs / 1000).toFixed(1)} s`);
  setTimeout(start, waitMs);
}

function command(fields) {
  commandId += 1;
  socket.send(JSON.stringify({ id: commandId, ...fields }));
}

function handleReply(reply) {
  if (reply.op === "hello") {
    retryMs = RETRY_FIRST_MS;
    element("epoch").textContent = reply.epoch;
    element("feed").textContent = "live";
    show("live", "connected");
    subscribe();
  } else if (reply.op === "error") {
    show("live", `error ${reply.code}: ${reply.msg}`);
  }
}

/** Brings the subscriptions in line with the rows on the screen. */
function subscribe() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const topics = [];
  for (const [symbol, row] of rows) {
    if (row.subscribed) continue;
    row.subscribed = true;
    for (const channel of ["quote", "ticker"]) {
      if (instruments.get(symbol).channels.has(channel)) topics.push(`${symbol}.${channel}`);
    }
  }
  if (topics.length > 0) {
    command({ op: "subscribe", topics, mode: "conflate", max_rate: UPDATES_PER_SECOND, snapshot: true });
  }
}

function unsubscribe(symbols) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const topics = symbols.flatMap((symbol) =>
    ["quote", "ticker"]
      .filter((channel) => instruments.get(symbol)?.channels.has(channel))
      .map((channel) => `${symbol}.${channel}`));
  if (topics.length > 0) command({ op: "unsubscribe", topics });
}

// ---- events ----

function handleEvent(event) {
  events += 1;
  switch (event.e) {
    case "quote":
    case "ticker": {
      const row = rows.get(event.s);
      if (!row) return;
      row[event.e] = event;
      stale.add(event.s);
      break;
    }
    case "gap":
      event.gaps.forEach(handleGap);
      break;
    case "feed":
      handleFeed(event);
      break;
  }
}

function handleGap(gap) {
  const count = BigInt(gap.count);
  const kind = gap.reason === "conflated" ? "conflated" : "lost";
  gaps[kind] += count;
  const symbol = gap.topic.slice(0, gap.topic.lastIndexOf("."));
  const row = rows.get(symbol);
  if (row) {
    row.gaps += count;
    row.lost ||= kind === "lost" && count > 0n;
    stale.add(symbol);
  }
}

function handleFeed(event) {
  element("feed").textContent = event.state;
  // Restarted is live again, with new sequence numbers.
  element("feed").classList.toggle("warn", event.state === "silent" || event.state === "stopped");
  if (event.epoch && event.epoch !== element("epoch").textContent) {
    element("epoch").textContent = event.epoch;
    // A new epoch may define other instruments.
    loadInstruments();
  }
}

// ---- the table ----

const COLUMNS = ["symbol", "bidQty", "bid", "ask", "askQty", "spread", "last", "change", "volume", "gaps"];
const WIDE = new Set(["bidQty", "askQty", "spread", "volume", "gaps"]);
const MIDDLE = new Set(["last"]);

function newRow(symbol) {
  const line = document.createElement("tr");
  const cells = {};
  for (const column of COLUMNS) {
    const cell = line.insertCell();
    cell.textContent = column === "symbol" ? symbol : "–";
    if (WIDE.has(column)) cell.classList.add("wide");
    if (MIDDLE.has(column)) cell.classList.add("middle");
    if (column === "bidQty" || column === "askQty" || column === "volume") cell.classList.add("size");
    cells[column] = cell;
  }
  return { line, cells, quote: null, ticker: null, gaps: 0n, lost: false, subscribed: false };
}

/** Shows the symbols that match the search, best prefix first, and subscribes to them. */
function layOut() {
  const wanted = element("search").value.trim().toUpperCase();
  const matches = [...instruments.keys()].filter((symbol) => symbol.includes(wanted));
  matches.sort((a, b) => (b.startsWith(wanted) ? 1 : 0) - (a.startsWith(wanted) ? 1 : 0));
  const shown = matches.slice(0, ROWS_MAX);
  const keep = new Set(shown);
  const gone = [...rows.keys()].filter((symbol) => !keep.has(symbol));
  unsubscribe(gone.filter((symbol) => rows.get(symbol).subscribed));
  gone.forEach((symbol) => rows.delete(symbol));
  const lines = shown.map((symbol) => {
    if (!rows.has(symbol)) rows.set(symbol, newRow(symbol));
    return rows.get(symbol).line;
  });
  element("rows").replaceChildren(...lines);
  element("empty").hidden = matches.length > 0 || instruments.size === 0;
  element("more").hidden = matches.length <= shown.length;
  element("more").textContent = `${shown.length} of ${matches.length} shown; search to see others.`;
  subscribe();
}

/** Writes a price or number and colours it by where it moved. */
function write(cell, text) {
  if (cell.textContent === text) return;
  const before = Number(cell.textContent);
  const after = Number(text);
  cell.classList.toggle("up", after > before);
  cell.classList.toggle("down", after < before);
  cell.textContent = text;
}

function draw() {
  for (const symbol of stale) {
    const row = rows.get(symbol);
    if (!row) continue;
    const { cells, quote, ticker } = row;
    if (quote) {
      write(cells.bid, quote.bid);
      write(cells.ask, quote.ask);
      cells.bidQty.textContent = quote.bid_qty;
      cells.askQty.textContent = quote.ask_qty;
      const [bid, ask] = [Number(quote.bid), Number(quote.ask)];
      cells.spread.textContent = bid > 0 && ask > 0
        ? basisPoints((ask - bid) / (ask + bid) * 2e4) : "–";
    }
    if (ticker) {
      write(cells.last, ticker.last);
      const open = Number(ticker.open);
      const change = open > 0 ? (Number(ticker.last) / open - 1) * 100 : 0;
      cells.change.textContent = `${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(2)} %`;
      cells.change.className = change >= 0 ? "up" : "down";
      cells.volume.textContent = compact(Number(ticker.volume));
    }
    cells.gaps.textContent = row.gaps.toLocaleString("en");
    cells.gaps.classList.toggle("warn", row.lost);
  }
  stale.clear();
  element("conflated").textContent = gaps.conflated.toLocaleString("en");
  element("lost").textContent = gaps.lost.toLocaleString("en");
  element("lost").classList.toggle("warn", gaps.lost > 0n);
  requestAnimationFrame(draw);
}

const basisPoints = (bp) => `${bp < 1 ? bp.toPrecision(2) : bp.toFixed(1)} bp`;

const compact = (number) =>
  number.toLocaleString("en", { notation: "compact", maximumFractionDigits: 2 });

// ---- beginning ----

async function loadInstruments() {
  const response = await fetch("/v1/instruments", { cache: "no-store" });
  if (!response.ok) throw new Error(`instruments: HTTP ${response.status}`);
  const list = (await response.json()).instruments;
  instruments.clear();
  for (const { s, channels } of list) instruments.set(s, { channels: new Set(channels) });
  element("instruments").textContent = list.length.toLocaleString("en");
  layOut();
}

async function start() {
  try {
    await loadInstruments();
  } catch (error) {
    retry(`cannot reach the gateway (${error.message})`);
    return;
  }
  connect();
}

setInterval(() => {
  element("rate").textContent = events.toLocaleString("en");
  events = 0;
}, 1000);
// A search can be linked to: /?q=BTC
element("search").value = new URLSearchParams(location.search).get("q") ?? "";
element("search").addEventListener("input", layOut);
requestAnimationFrame(draw);
start();
