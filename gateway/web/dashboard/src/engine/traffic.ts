/** What has passed, and how fast: the connection panel's figures. */
import type { Client, Gap } from "@tickcast/client";
import { LatencyWindow, quantileMs } from "./latency.ts";
import type { Figures } from "./protocol.ts";

/** Rates are over so long. */
const WINDOW_MS = 1000;
const SAMPLE_MS = 100;
const PING_EVERY_MS = 5000;

/** Channels of which each event counts, and not only the newest. */
const LISTS = /^(trade|bar_)/;

interface Sample {
  readonly atMs: number;
  readonly events: number;
  readonly messages: number;
  readonly bytes: number;
}

export class Traffic {
  readonly latency = new LatencyWindow();
  private gaps = 0;
  private lastLost = "";
  private lost = 0;
  /** Values that the newest stands for, or a book, behind an outage. */
  private passed = 0;
  resumed = 0;
  private samples: Sample[] = [];
  private rttMs: number | null = null;
  private pingedMs = 0;
  private heardMs = performance.now();
  private messages = 0;

  constructor(private readonly client: Client) {}

  gap({ topic, channel, reason, count }: Gap): void {
    this.gaps += 1;
    if (reason === "conflated" || count === 0) return;
    // What an outage was too long for is conflated, too, in channels of values: they go on with the newest, or with a book.
    if (reason === "resume" && !LISTS.test(channel)) {
      this.passed += count;
      return;
    }
    this.lost += count;
    this.lastLost = `${topic}: ${count} (${reason})`;
  }

  /** For how long nothing has arrived. */
  quietMs(nowMs: number): number {
    const { messages } = this.client.statistics;
    if (messages !== this.messages) {
      this.messages = messages;
      this.heardMs = nowMs;
    }
    return nowMs - this.heardMs;
  }

  get messagesPerS(): number {
    return this.rate((sample) => sample.messages);
  }

  /** The figures, unless they were asked for just now. */
  figures(nowMs: number, topics: number, instruments: number): Figures | null {
    const before = this.samples.at(-1);
    if (before && nowMs - before.atMs < SAMPLE_MS) return null;
    const { events, messages, bytes, conflated, resets, reconnects } = this.client.statistics;
    this.samples.push({ atMs: nowMs, events, messages, bytes });
    while (this.samples.length > 2 && nowMs - (this.samples[1]?.atMs ?? nowMs) >= WINDOW_MS) this.samples.shift();
    this.ping(nowMs);
    const latency = this.latency.counts(nowMs);
    return {
      events, messages, bytes, resets, reconnects, topics, instruments, latency,
      eventsPerS: this.rate((sample) => sample.events),
      messagesPerS: this.messagesPerS,
      bytesPerS: this.rate((sample) => sample.bytes),
      conflated: (conflated + this.passed).toLocaleString("en"),
      lost: this.lost.toLocaleString("en"),
      gaps: this.gaps,
      lastLost: this.lastLost,
      resumed: this.resumed.toLocaleString("en"),
      rttMs: this.rttMs,
      latencyP50Ms: quantileMs(latency, 0.5),
      latencyP99Ms: quantileMs(latency, 0.99),
    };
  }

  private rate(of: (sample: Sample) => number): number {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (!first || !last || last.atMs <= first.atMs) return 0;
    return ((of(last) - of(first)) * 1000) / (last.atMs - first.atMs);
  }

  private ping(nowMs: number): void {
    if (nowMs - this.pingedMs < PING_EVERY_MS || this.client.state !== "connected") return;
    this.pingedMs = nowMs;
    // An outage answers in its own way.
    this.client.ping().then((ms) => (this.rttMs = ms), () => (this.rttMs = null));
  }
}
