/** The page: panels, keys, and the beat by which they are painted. What they show comes from the engine. */
import "./style/base.css";
import "./style/shell.css";
import "./style/panels.css";
import { formatDecimal } from "@tickcast/client";
import { inPage, inWorker } from "./engine/link.ts";
import type { Frame, FromEngine, Link } from "./engine/protocol.ts";
import { Beat } from "./beat.ts";
import { listenToKeys } from "./keys.ts";
import { showToken } from "./rest.ts";
import { keepToken, keptToken, load, save, type Theme } from "./settings.ts";
import { Bar } from "./ui/bar.ts";
import { ChartPanel, INTERVALS } from "./ui/chart_panel.ts";
import { ConnectionPanel } from "./ui/connection.ts";
import { DepthChart } from "./ui/depth_chart.ts";
import { helpDialog, settingsDialog, tokenDialog } from "./ui/dialogs.ts";
import { GatewayPanel } from "./ui/gateway.ts";
import { Ladder } from "./ui/ladder.ts";
import { Layout, PANELS } from "./ui/layout.ts";
import { coloursChanged } from "./ui/palette.ts";
import { Tape } from "./ui/tape.ts";
import { WatchList } from "./ui/watch_list.ts";

const settings = load();
const token = keptToken();
showToken(token);
const TITLE_EVERY_MS = 500;
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

let rows: readonly string[] = [];
let priceExponent = 0;
let link: Link | null = null;
let title = document.title;
let titledMs = 0;

// ---- panels ----

const bar = new Bar({ theme: nextTheme, settings: () => open(settingsDialog(settings, settingsActions)), help: () => open(helpDialog()) });
const list = new WatchList(
  {
    focus,
    list: (wish) => engine.post({ kind: "list", list: wish }),
    rows: (symbols) => {
      rows = symbols;
      look();
    },
    pins: (pins) => keep(() => (settings.pins = [...pins])),
    sorted: (sort, descending) => keep(() => Object.assign(settings, { sort, descending })),
  },
  { ...settings, query: new URLSearchParams(location.search).get("q") ?? "" },
);
const chart = new ChartPanel(settings.interval, takeInterval);
const ladder = new Ladder();
const tape = new Tape();
const depth = new DepthChart((mantissa) => formatDecimal(mantissa, priceExponent));
const connection = new ConnectionPanel();
const gateway = new GatewayPanel(() => layout.isSeen("gateway"));
const panels = new Map([
  ["list", list.root], ["chart", chart.root], ["book", ladder.root], ["tape", tape.root], ["depth", depth.root],
  ["connection", connection.root], ["gateway", gateway.root],
]);
const layout: Layout = new Layout(settings, panels, () => {
  save(settings);
  gateway.look();
});
const settingsActions = {
  changed() {
    save(settings);
    engine.post({ kind: "delivery", delivery: { pace: settings.pace, scope: settings.scope } });
    applyTheme();
  },
  toggle: (panel: string) => layout.toggle(panel),
  reset: () => layout.reset(),
  hasToken: token !== null,
  forgetToken: () => beginWith(null),
};
applyTheme();
document.getElementById("app")?.replaceChildren(bar.root, bar.alarm, layout.grid, layout.tabs);

// ---- the engine ----

const start = new URLSearchParams(location.search).get("engine") === "page" ? inPage : inWorker;
const engine = start(receive);
engine.post({
  kind: "open",
  url: new URL("/v1/stream", location.href).href.replace(/^http/, "ws"),
  token,
  delivery: { pace: settings.pace, scope: settings.scope },
});
list.wish();
look();

const beat = new Beat({ ask: () => engine.post({ kind: "frame" }), paint });

function receive(message: FromEngine): void {
  if (message.kind === "frame") return beat.take(message.frame);
  list.order(message.symbols, message.total);
  if (settings.focus === null || (message.total > 0 && message.symbols.length === message.total && !message.symbols.includes(settings.focus))) {
    const first = message.symbols[0];
    if (first !== undefined) focus(first);
  } else {
    list.focus(settings.focus);
    for (const one of [ladder, tape, depth]) one.subject.write(settings.focus ?? "");
    chart.look(settings.focus, settings.interval);
  }
}

function paint(frame: Frame, nowMs: number): void {
  list.paint(frame.rows, nowMs);
  if (frame.focus) {
    priceExponent = frame.focus.priceExponent;
    chart.focus(frame.focus);
    title = `${frame.focus.last} ${frame.focus.symbol} · Tickcast`;
  }
  if (frame.bar) chart.update(frame.bar);
  chart.paint(nowMs);
  if (frame.book && frame.book.symbol === settings.focus) {
    ladder.paint(frame.book);
    depth.update(frame.book);
  }
  depth.paint(nowMs);
  tape.update(frame.trades, frame.tradesAnew, frame.past);
  tape.paint();
  // The browser's own tab is not read faster.
  if (nowMs - titledMs >= TITLE_EVERY_MS && title !== document.title) [document.title, titledMs] = [title, nowMs];
  // After an outage there may be bars that never came.
  if (link?.isStale && !frame.link.isStale) void chart.reload();
  if (frame.link.wantsToken && !link?.wantsToken) open(tokenDialog(`${sentence(frame.link.text)}.`, beginWith));
  link = frame.link;
  bar.update(link, beat.asleepS);
  if (frame.figures) {
    bar.figures(frame.figures, beat.framesPerS);
    connection.update(frame.figures, link, beat.framesPerS);
  }
}

// ---- what is looked at ----

function look(): void {
  engine.post({ kind: "view", view: { rows, focus: settings.focus, interval: settings.interval } });
}

function focus(symbol: string): void {
  if (symbol !== settings.focus) {
    keep(() => (settings.focus = symbol));
    ladder.clear();
    depth.clear();
  }
  for (const one of [ladder, tape, depth]) one.subject.write(symbol);
  chart.look(symbol, settings.interval);
  list.focus(symbol);
  look();
}

function takeInterval(interval: (typeof INTERVALS)[number]): void {
  keep(() => (settings.interval = interval));
  chart.look(settings.focus, interval);
  look();
}

function keep(change: () => void): void {
  change();
  save(settings);
}

// ---- keys, theme, sleep ----

listenToKeys({
  "/": () => {
    layout.show("list");
    list.focusSearch();
  },
  j: () => list.step(1), ArrowDown: () => list.step(1),
  k: () => list.step(-1), ArrowUp: () => list.step(-1),
  p: () => settings.focus !== null && list.togglePin(settings.focus),
  "[": () => stepInterval(-1), "]": () => stepInterval(1),
  t: nextTheme, "?": () => open(helpDialog()), ",": () => open(settingsDialog(settings, settingsActions)),
  ...Object.fromEntries(PANELS.map(([name], at) => [String(at + 1), () => goTo(name)])),
});

function stepInterval(by: number): void {
  const next = INTERVALS[INTERVALS.indexOf(settings.interval) + by];
  if (next) takeInterval(next);
}

function goTo(name: string): void {
  layout.show(name);
  const panel = panels.get(name);
  panel?.querySelector<HTMLElement>("[tabindex='0'], button, input")?.focus();
}

function nextTheme(): void {
  keep(() => (settings.theme = THEMES[(THEMES.indexOf(settings.theme) + 1) % THEMES.length] ?? "auto"));
  applyTheme();
}

function applyTheme(): void {
  const root = document.documentElement;
  if (settings.theme === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = settings.theme;
  coloursChanged();
}

/** Another token is another visit: everything that was seen by the other one goes. */
function beginWith(other: string | null): void {
  if (keepToken(other)) location.reload();
  else bar.say("This browser keeps nothing for this page, so it cannot keep a token.");
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function open(dialog: HTMLDialogElement): void {
  // One that has just closed is still there, until the browser says so.
  if (document.querySelector("dialog[open]")) return;
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("visibilitychange", () => {
  const visible = document.visibilityState === "visible";
  engine.post({ kind: "visible", visible });
  if (visible) engine.post({ kind: "wake" });
});
document.addEventListener("resume", () => engine.post({ kind: "wake" }));
