/** The connection panel: how old what arrives is, how much of it, and what did not arrive one by one. */
import { BUCKETS_MS } from "../engine/latency.ts";
import type { Figures, Link } from "../engine/protocol.ts";
import { element, panel, Sketch, Text } from "./element.ts";
import { bytes, count, milliseconds, rate } from "./figures.ts";
import { colour, onColours } from "./palette.ts";

/** The histogram is redrawn so often at most: it is of ten seconds. */
const EVERY_MS = 500;

type Entry = readonly [title: string, why: string, text: (figures: Figures) => string];

const ENTRIES: readonly Entry[] = [
  ["Ticks", "Events counted since the page was opened", (f) => count(f.events)],
  ["Ticks a second", "", (f) => rate(f.eventsPerS)],
  ["Age, median", "From the venue's time of an event to its arrival here, by this machine's clock", (f) => milliseconds(f.latencyP50Ms)],
  ["Age, 99 %", "From the venue's time of an event to its arrival here, by this machine's clock", (f) => milliseconds(f.latencyP99Ms)],
  ["Round trip", "A command and its answer", (f) => milliseconds(f.rttMs)],
  ["Received", "Payload, before any compression", (f) => bytes(f.bytes)],
  ["Bytes a second", "", (f) => `${bytes(f.bytesPerS)}/s`],
  ["Messages a second", "", (f) => rate(f.messagesPerS)],
  ["Conflated", "Numbers that a newer or merged event stood for, those of outages included: nothing is missing", (f) => f.conflated],
  ["Lost", "Numbers that did not come and will not", (f) => f.lost],
  ["Lost last", "Which topic, how many and why", (f) => f.lastLost || "–"],
  ["Gaps announced", "", (f) => count(f.gaps)],
  ["Reconnects", "", (f) => count(f.reconnects)],
  ["Resumed", "Trades that came by resuming after an outage", (f) => f.resumed],
  ["Resets", "Topics that began anew because the feed did", (f) => count(f.resets)],
  ["Topics", "Subscriptions that stand", (f) => count(f.topics)],
];

export class ConnectionPanel {
  readonly root: HTMLElement;
  private readonly texts = ENTRIES.map(() => new Text("–"));
  private readonly epoch = new Text("–");
  private readonly feed = new Text("–");
  private readonly frames = new Text("–");
  private readonly sketch = new Sketch((context, width, height) => this.draw(context, width, height));
  private latency: Uint32Array = new Uint32Array();
  private paintedMs = 0;

  constructor() {
    const list = element("dl", { class: "figures" });
    ENTRIES.forEach(([title, why], at) => list.append(this.figure(title, why, this.texts[at] ?? new Text())));
    list.append(
      this.figure("Frames a second", "How often this page painted in the last second", this.frames),
      this.figure("Feed", "What the gateway knows of its feed", this.feed),
      this.figure("Epoch", "The run of the feed that numbers live within", this.epoch),
    );
    const histogram = element("div", { class: "latency", role: "img", "aria-label": "Histogram of ages at arrival, last ten seconds" },
      this.sketch.canvas);
    const frame = panel("connection", "Connection", histogram, list);
    frame.body.tabIndex = 0;
    frame.body.setAttribute("role", "region");
    frame.body.setAttribute("aria-label", "Connection figures");
    this.root = frame.root;
    onColours(() => this.sketch.paint());
  }

  update(figures: Figures, link: Link, framesPerS: number): void {
    ENTRIES.forEach(([, , text], at) => this.texts[at]?.write(text(figures)));
    this.epoch.write(link.epoch);
    this.feed.write(link.feed);
    this.frames.write(String(framesPerS));
    this.latency = figures.latency;
    const nowMs = performance.now();
    if (nowMs - this.paintedMs >= EVERY_MS) {
      this.paintedMs = nowMs;
      this.sketch.paint();
    }
    // For those who measure: exact, where the panel rounds.
    Object.assign(this.root.dataset, { events: String(figures.events), bytes: String(figures.bytes), lost: figures.lost,
      conflated: figures.conflated, fps: String(framesPerS), resumed: figures.resumed, lastLost: figures.lastLost, perSecond: String(figures.eventsPerS) });
  }

  private figure(title: string, why: string, text: Text): HTMLElement {
    return element("div", why ? { title: why } : {}, element("dt", {}, title), element("dd", {}, text.node));
  }

  private draw(context: CanvasRenderingContext2D, width: number, height: number): void {
    const ground = height - 16;
    const most = Math.max(1, ...this.latency);
    const step = width / BUCKETS_MS.length;
    context.fillStyle = colour("accent");
    this.latency.forEach((value, at) => {
      if (value === 0) return;
      // The square root keeps the tail visible beside the peak.
      const tall = Math.max(1, Math.sqrt(value / most) * (ground - 4));
      context.fillRect(at * step + 0.5, ground - tall, Math.max(1, step - 1), tall);
    });
    context.fillStyle = colour("line");
    context.fillRect(0, ground, width, 1);
    context.fillStyle = colour("quiet");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    let freeFrom = 0;
    BUCKETS_MS.forEach((bound, at) => {
      const label = LABELS.get(bound);
      if (label === undefined) return;
      const half = context.measureText(label).width / 2;
      // Where there is no room for all, every other one stands.
      if (at * step - half < freeFrom || at * step + half > width) return;
      context.fillText(label, at * step, height - 3);
      freeFrom = at * step + half + 6;
    });
  }
}

const LABELS = new Map([[0.1, "0.1 ms"], [1, "1 ms"], [10, "10 ms"], [100, "0.1 s"], [1000, "1 s"]]);
