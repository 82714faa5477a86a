/** The operators' panel: the gateway as it says it is, from `/v1/status`, asked only while somebody looks. */
import { get } from "../rest.ts";
import { element, panel, Text } from "./element.ts";
import { bytes, count, duration, rate } from "./figures.ts";

const EVERY_MS = 2000;

interface Times {
  readonly p50: number;
  readonly p99: number;
}

interface Shard {
  readonly shard: number;
  readonly sessions: number;
  readonly blocked: number;
  readonly ring_lag: number | null;
  readonly deliveries: number;
  readonly bytes_sent: number;
  readonly closed_slow: number;
  readonly skipped_conflated: number;
  readonly skipped_lost: number;
  readonly ring_delay_us: Times;
  readonly visit_wait_us: Times;
  readonly slowest: readonly {
    readonly encoding: string;
    readonly blocked_ms: number;
    readonly lag_entries: number;
    readonly skipped: number;
    readonly topics: number;
    readonly wildcards: number;
  }[];
}

interface Status {
  readonly version: string;
  readonly uptime_s: number;
  readonly resident_bytes: number;
  readonly draining: boolean;
  readonly sessions: number;
  readonly shards_configured: number;
  readonly feed: { readonly state: string; readonly heartbeat_age_ms: number };
  readonly shards: readonly Shard[];
}

const FIGURES: readonly (readonly [string, (status: Status) => string])[] = [
  ["Gateway", (s) => `${s.version}${s.draining ? ", draining" : ""}`],
  ["Up", (s) => duration(s.uptime_s)],
  ["Feed", (s) => s.feed.state],
  ["Connections", (s) => count(s.sessions)],
  ["Shards", (s) => (s.shards.length === s.shards_configured ? count(s.shards.length) : `${s.shards.length} of ${s.shards_configured}`)],
  ["Slow now", (s) => count(sum(s, "blocked"))],
  ["Closed as slow", (s) => count(sum(s, "closed_slow"))],
  ["Memory", (s) => bytes(s.resident_bytes)],
  ["Conflated", (s) => rate(sum(s, "skipped_conflated"))],
  ["Lost", (s) => count(sum(s, "skipped_lost"))],
];

const COLUMNS: readonly (readonly [string, string])[] = [
  ["Shard", ""], ["Conn.", "Open sessions"], ["Slow", "Sessions whose socket takes no more"], ["Lag", "Records between the shard and the feed"],
  ["Out", "Bytes a second to clients"], ["Ring", "99 % of records are read within"], ["Wait", "99 % of messages go out within"],
];

function sum(status: Status, key: "blocked" | "closed_slow" | "skipped_conflated" | "skipped_lost"): number {
  return status.shards.reduce((total, shard) => total + shard[key], 0);
}

export class GatewayPanel {
  readonly root: HTMLElement;
  private readonly texts = FIGURES.map(() => new Text("–"));
  private readonly rows = element("tbody");
  private readonly slow = element("tbody");
  private readonly note = element("p", { class: "note" }, "Asking …");
  private readonly content = element("div", { hidden: true });
  private before: { atMs: number; bytes: Map<number, number> } = { atMs: 0, bytes: new Map() };
  private timer = 0;

  constructor(private readonly isLookedAt: () => boolean) {
    const list = element("dl", { class: "figures" });
    FIGURES.forEach(([title], at) =>
      list.append(element("div", {}, element("dt", {}, title), element("dd", {}, this.texts[at]?.node ?? ""))));
    this.content.append(list, table(COLUMNS, this.rows),
      table([["Slowest", ""], ["Topics", ""], ["Behind", "Log entries"], ["Stalled", "Since it last took something"], ["Skipped", ""]], this.slow));
    const frame = panel("gateway", "Gateway", this.note, this.content);
    frame.body.tabIndex = 0;
    frame.body.setAttribute("role", "region");
    frame.body.setAttribute("aria-label", "Gateway figures");
    this.root = frame.root;
    // The page is put together first.
    this.timer = window.setTimeout(() => void this.ask());
  }

  /** Somebody may look now. */
  look(): void {
    void this.ask();
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    let againMs = EVERY_MS;
    if (document.visibilityState === "visible" && this.isLookedAt()) {
      try {
        const answer = await get("/v1/status");
        // 202: it is being gathered, because it was asked for.
        if (answer.status === 200) this.show((await answer.json()) as Status);
        else if (answer.status === 404) {
          this.say("This gateway does not show its status here. Its operator can let it: public-status = on.");
          againMs = 60_000;
        } else if (answer.status === 401 || answer.status === 403) {
          this.say("This gateway shows its status to whoever has a right to it.");
          againMs = 60_000;
        } else againMs = 500;
      } catch {
        this.say("The gateway does not answer.");
      }
    }
    this.timer = window.setTimeout(() => void this.ask(), againMs);
  }

  private say(text: string): void {
    this.note.textContent = text;
    this.note.hidden = false;
    this.content.hidden = true;
  }

  private show(status: Status): void {
    this.note.hidden = true;
    this.content.hidden = false;
    FIGURES.forEach(([, text], at) => this.texts[at]?.write(text(status)));
    const nowMs = performance.now();
    const seconds = (nowMs - this.before.atMs) / 1000;
    this.rows.replaceChildren(...status.shards.map((shard) => {
      const before = this.before.bytes.get(shard.shard);
      const out = before === undefined || shard.bytes_sent < before ? "–" : `${bytes((shard.bytes_sent - before) / seconds)}/s`;
      return line([String(shard.shard), count(shard.sessions), count(shard.blocked), shard.ring_lag === null ? "–" : count(shard.ring_lag),
        out, micro(shard.ring_delay_us.p99), micro(shard.visit_wait_us.p99)]);
    }));
    this.before = { atMs: nowMs, bytes: new Map(status.shards.map((shard) => [shard.shard, shard.bytes_sent])) };
    const slowest = status.shards.flatMap((shard) => shard.slowest)
      .sort((a, b) => b.blocked_ms - a.blocked_ms || b.lag_entries - a.lag_entries).slice(0, 5);
    this.slow.replaceChildren(...slowest.map((one) => line([one.encoding, count(one.topics + one.wildcards), count(one.lag_entries),
      one.blocked_ms > 0 ? `${count(one.blocked_ms)} ms` : "–", rate(one.skipped)])));
  }
}

function table(columns: readonly (readonly [string, string])[], rows: HTMLElement): HTMLElement {
  const head = columns.map(([title, why]) => element("th", why ? { scope: "col", title: why } : { scope: "col" }, title));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), rows);
}

function line(texts: readonly string[]): HTMLElement {
  return element("tr", {}, ...texts.map((text) => element("td", {}, text)));
}

function micro(value: number): string {
  return value < 1000 ? `${value} µs` : `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} ms`;
}
