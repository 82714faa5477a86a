/**
 * The engine: the connection, and the state of everything that is looked at. It knows no document, so that it runs in a
 * worker as well as in the page.
 *
 * Ticks are applied as they come and cost no text. Text is made when the page asks for a frame, of what has changed among
 * what it shows: a hundred ticks of one price between two frames are one text.
 */
import { Client, ConnectError, type EndedError, Instrument, LostError, parseDecimal, type Channel, type Gap, type Trade } from "@tickcast/client";
import { get, showToken } from "../rest.ts";
import { listOrder, SORT_EVERY_MS } from "./list_order.ts";
import { Market } from "./market.ts";
import { OrderBook } from "./order_book.ts";
import { sideOf, tradesBefore } from "./past_trades.ts";
import type { Bar, DeliveryWish, Figures, Frame, FromEngine, Link, LinkState, ListWish, Print, ToEngine, ViewWish } from "./protocol.ts";
import { Traffic } from "./traffic.ts";
import { Wants } from "./wants.ts";

/** What is kept for a page that does not ask for frames; its tape has no room for more. */
const PRINTS_MAX = 300;
/** A stream that flows and then does not is worth a word long before a heartbeat is missed. */
const QUIET_MS = 2500;
const FLOWING_PER_S = 5;
/** One that does not is only quiet until a heartbeat is late by this. */
const QUIET_HEARTBEATS = 1.3;
/** How long a page has to be hidden before it is sent less. */
const HIDDEN_AFTER_MS = 5000;

/** `GET /v1/instruments`. */
interface InstrumentsAnswer {
  readonly instruments: readonly {
    readonly s: string; readonly instrument: number; readonly base: string; readonly price_exponent: number;
    readonly quantity_exponent: number; readonly tick_size: string; readonly lot_size: string; readonly channels: readonly Channel[];
  }[];
}

/** What an engine begins with. */
export type Opening = Extract<ToEngine, { kind: "open" }>;

export class Engine {
  private readonly client: Client;
  private readonly market = new Market();
  private readonly book = new OrderBook();
  private readonly traffic: Traffic;
  private readonly wants: Wants;
  private delivery: DeliveryWish;
  private list: ListWish = { query: "", sort: "symbol", descending: false, pins: [] };
  private view: ViewWish = { rows: [], focus: null, interval: "1m" };
  private isVisible = true;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private order: readonly string[] = [];
  private orderedMs = 0;
  private prints: Print[] = [];
  private printsAnew = true;
  /** Trades before the first live one, and whether they were asked for. */
  private past: Print[] = [];
  private isPastAsked = false;
  private bar: Bar | null = null;
  private state: LinkState = "connecting";
  private text = "connecting";
  private wantsToken = false;
  private feed = "–";
  private epoch = 0n;
  private connectedAtMs = 0;
  private retryAtMs = 0;
  /** Whether messages came in quick succession before they stopped coming. */
  private isFlowing = false;
  /** Monotonic time to the clock on the wall; a machine that sleeps may move one of them. */
  private wallMs = performance.timeOrigin;

  constructor({ url, token, delivery }: Opening, private readonly post: (message: FromEngine, transfer?: Transferable[]) => void) {
    this.delivery = delivery;
    showToken(token);
    // A page that is left open is to be there again soon; whether it is hidden is for the page to say.
    this.client = new Client(url, { reconnect: { minMs: 250, maxMs: 5000 }, hidden: "keep", ...(token === null ? {} : { token }) });
    this.traffic = new Traffic(this.client);
    this.wants = new Wants(this.client, (symbol, channel) => this.market.get(symbol)?.instrument.channels.includes(channel as Channel) ?? false);
    this.listen();
    void this.loadInstruments();
  }

  handle(message: ToEngine): void {
    switch (message.kind) {
      case "frame":
        return this.frame();
      case "view":
        return this.look(message.view);
      case "list":
        this.list = message.list;
        return this.sort(true);
      case "delivery":
        this.delivery = message.delivery;
        return this.subscribe();
      case "visible":
        return this.show(message.visible);
      case "wake":
        this.wallMs = Date.now() - performance.now();
        return;
      case "open":
        return;
    }
  }

  private listen(): void {
    const { client, market } = this;
    client.on("quote", (quote) => {
      const values = market.of(quote.instrument);
      values.quote(quote);
      if (values.isFresh) values.isFresh = false;
      else this.traffic.latency.record(this.wallMs + performance.now() - quote.tsEventMs);
    });
    client.on("ticker", (ticker) => market.of(ticker.instrument).tick(ticker));
    client.on("status", (status) => market.of(status.instrument).say(status));
    client.on("trade", (trade) => this.trade(trade));
    client.on("snapshot", (part) => {
      if (part.symbol === this.view.focus) this.book.snapshot(part);
    });
    client.on("depth", (change) => {
      if (change.symbol === this.view.focus) this.book.change(change);
    });
    client.on("bar", (bar) => {
      if (bar.symbol !== this.view.focus || bar.channel !== `bar_${this.view.interval}`) return;
      this.bar = {
        symbol: bar.symbol, interval: this.view.interval, openS: Math.floor(bar.tsOpenMs / 1000), open: Number(bar.openMantissa),
        high: Number(bar.highMantissa), low: Number(bar.lowMantissa), close: Number(bar.closeMantissa), volume: Number(bar.volumeMantissa),
        isFinal: bar.isFinal,
      };
    });
    client.on("gap", (gap) => this.gap(gap));
    client.on("connected", ({ epoch }) => {
      this.say("live", "live");
      this.feed = epoch === 0n ? "no feed yet" : "live";
      this.connectedAtMs = this.wallMs + performance.now();
      this.beginFresh();
      this.enter(epoch);
    });
    client.on("disconnected", ({ reason, retryInMs }) => this.wait(reason.message, retryInMs));
    client.on("attemptFailed", ({ reason, retryInMs }) => {
      this.wait(reason.kind === "failed" ? "the gateway does not answer" : reason.message, retryInMs);
    });
    client.on("ended", ({ reason }) => this.end(reason));
    client.on("feed", ({ state, epoch }) => {
      // A feed that has restarted lives again, with other numbers.
      this.feed = state === "restarted" ? "live" : state;
      this.enter(epoch);
    });
  }

  private trade(trade: Trade): void {
    this.market.of(trade.instrument).trade(trade);
    if (trade.symbol !== this.view.focus) return;
    if (this.client.statistics.reconnects > 0 && trade.tsEventMs < this.connectedAtMs) this.traffic.resumed += 1;
    this.print({
      kind: "trade", seq: String(trade.seq), timeMs: trade.tsEventMs, price: trade.price, size: trade.quantity,
      side: sideOf(trade.makerSide),
    });
    if (!this.isPastAsked) void this.loadPast(trade.symbol, trade.tradeId);
  }

  private async loadPast(symbol: string, tradeId: bigint): Promise<void> {
    this.isPastAsked = true;
    const past = await tradesBefore({ symbol, tradeId }).catch(() => []);
    // Somebody may look elsewhere meanwhile.
    if (symbol === this.view.focus) this.past = past;
  }

  private gap(gap: Gap): void {
    this.traffic.gap(gap);
    if (gap.symbol !== this.view.focus) return;
    // Of another epoch: a snapshot follows.
    if (gap.channel === "depth" && gap.reason === "reset") this.book.clear();
    if (gap.channel === "trade") this.print({ kind: "gap", count: gap.count === 0 ? "some" : gap.count.toLocaleString("en"), reason: gap.reason });
  }

  private print(print: Print): void {
    this.prints.push(print);
    if (this.prints.length <= PRINTS_MAX) return;
    this.prints.shift();
    this.printsAnew = true;
  }

  private say(state: LinkState, text: string): void {
    [this.state, this.text] = [state, text];
  }

  private end({ cause, message }: EndedError): void {
    this.wantsToken = (cause instanceof ConnectError && cause.kind === "auth") || (cause instanceof LostError && cause.kind === "notEntitled");
    // Who is asked for a token has no use for how a program would give it.
    const isFirst = this.wantsToken && !(cause instanceof LostError) && (cause as ConnectError).cause === undefined;
    this.say("closed", isFirst ? "this gateway asks for a token" : `closed for good: ${message}`);
  }

  private wait(why: string, retryInMs: number): void {
    this.retryAtMs = performance.now() + retryInMs;
    this.say("waiting", why);
  }

  private enter(epoch: bigint): void {
    if (epoch === this.epoch || epoch === 0n) return;
    const isFirst = this.epoch === 0n;
    this.epoch = epoch;
    // The first list was asked for at the start.
    if (!isFirst || this.market.size === 0) void this.loadInstruments();
  }

  private async loadInstruments(): Promise<void> {
    try {
      const answer = await get("/v1/instruments");
      if (!answer.ok) return;
      const { instruments } = (await answer.json()) as InstrumentsAnswer;
      this.market.replace(instruments.map((one) => new Instrument({
        id: one.instrument, symbol: one.s, base: one.base, priceExponent: one.price_exponent, quantityExponent: one.quantity_exponent,
        tickSize: parseDecimal(one.tick_size, one.price_exponent), lotSize: parseDecimal(one.lot_size, one.quantity_exponent),
        channels: one.channels,
      })));
    } catch {
      // The connection says what is wrong; with the next one it is tried again.
      return;
    }
    this.beginFresh();
    this.sort(true);
    this.subscribe();
  }

  private look(view: ViewWish): void {
    const isOther = view.focus !== this.view.focus;
    if (isOther || view.interval !== this.view.interval) this.bar = null;
    const before = new Set(this.view.rows);
    this.view = view;
    if (isOther) {
      this.book.clear();
      this.prints = [];
      this.printsAnew = true;
      this.past = [];
      this.isPastAsked = false;
    }
    // Who comes onto the screen shows all it has.
    for (const symbol of view.rows) {
      const values = before.has(symbol) ? undefined : this.market.get(symbol);
      if (values) values.shownVersion = -1;
    }
    const focus = view.focus === null ? undefined : this.market.get(view.focus);
    if (focus && isOther) focus.shownVersion = -1;
    this.subscribe();
  }

  private show(visible: boolean): void {
    clearTimeout(this.hiding);
    const change = () => {
      this.isVisible = visible;
      this.subscribe();
    };
    if (visible) change();
    else this.hiding = setTimeout(change, HIDDEN_AFTER_MS);
  }

  private subscribe(): void {
    for (const topic of this.wants.update(this.view, this.delivery, this.market.size, this.isVisible)) {
      if (topic === "*.quote") this.beginFresh();
      else if (topic.endsWith(".quote")) {
        const values = this.market.get(topic.slice(0, -".quote".length));
        if (values) values.isFresh = true;
      }
    }
  }

  private beginFresh(): void {
    for (const values of this.market.all) values.isFresh = true;
  }

  private sort(isAsked: boolean): void {
    this.orderedMs = performance.now();
    const order = listOrder(this.market, this.list);
    if (!isAsked && order.length === this.order.length && order.every((symbol, at) => symbol === this.order[at])) return;
    this.order = order;
    this.post({ kind: "order", symbols: order, total: this.market.size });
  }

  private frame(): void {
    const nowMs = performance.now();
    if (this.list.sort !== "symbol" && nowMs - this.orderedMs > SORT_EVERY_MS) this.sort(false);
    const focus = this.view.focus === null ? undefined : this.market.get(this.view.focus);
    const focusRow = focus && focus.version !== focus.shownVersion ? focus.focusRow(focus.row()) : null;
    const rows: Frame["rows"][number][] = [];
    for (const symbol of this.view.rows) {
      const values = this.market.get(symbol);
      if (!values || values.version === values.shownVersion) continue;
      rows.push(values === focus && focusRow ? focusRow : values.row());
      values.shownVersion = values.version;
    }
    if (focus) focus.shownVersion = focus.version;
    const book = this.book.changed(focus?.last ?? null);
    const frame: Frame = {
      rows, focus: focusRow, book, trades: this.prints, tradesAnew: this.printsAnew, past: this.past, bar: this.bar, link: this.link(nowMs),
      figures: this.figures(nowMs),
    };
    this.post({ kind: "frame", frame }, book ? [book.bidCurve.buffer, book.askCurve.buffer] : []);
    this.prints = [];
    this.past = [];
    this.printsAnew = false;
    this.bar = null;
  }

  private figures(nowMs: number): Figures | null {
    return this.traffic.figures(nowMs, this.wants.size, this.market.size);
  }

  private link(nowMs: number): Link {
    const quietMs = this.traffic.quietMs(nowMs);
    const epoch = this.epoch === 0n ? "–" : String(this.epoch);
    const base = { epoch, feed: this.feed, wantsToken: this.wantsToken };
    if (this.state === "waiting") {
      const seconds = Math.max(0, Math.ceil((this.retryAtMs - nowMs) / 1000));
      const next = this.client.state === "connecting" || seconds === 0 ? "connecting again" : `again in ${seconds} s`;
      return { ...base, state: "waiting", text: `${this.text}; ${next}`, isStale: true };
    }
    if (this.state === "connecting") return { ...base, state: "connecting", text: "connecting", isStale: false };
    if (this.state === "closed") return { ...base, state: "closed", text: this.text, isStale: true };
    const heartbeatMs = this.client.hello?.heartbeatMs ?? 5000;
    const feed = this.epoch === 0n ? "this gateway has no feed yet" : this.feed === "live" ? "" : `the feed is ${this.feed}`;
    // That nothing comes is then no news.
    if (feed !== "" && quietMs <= QUIET_HEARTBEATS * heartbeatMs) return { ...base, state: "waiting", text: feed, isStale: true };
    const quietMax = this.isFlowing ? QUIET_MS : QUIET_HEARTBEATS * heartbeatMs;
    if (quietMs > quietMax) return { ...base, state: "waiting", text: `nothing has arrived for ${Math.round(quietMs / 1000)} s`, isStale: true };
    this.isFlowing = this.traffic.messagesPerS >= FLOWING_PER_S || (this.isFlowing && quietMs > 0 && quietMs < QUIET_MS);
    return { ...base, state: "live", text: "live", isStale: false };
  }

}
