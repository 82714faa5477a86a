// The binary encoding: SBE messages back to back, walked over in place.
//
// Lengths come from the message, so that fields and group members of newer versions are passed over. A value of an enum
// that is not known is a message of a later version, and passed over too.

import { AGG_TRADE, AVERAGE, BAR_LAST, CHANNELS, DEPTH, QUOTE, STATUS, TICKER, TRADE } from './channel.ts';
import type { FeedState, GapReason, MarketEvent, TickcastEvent } from './event.ts';
import { channelSet, Instrument } from './instrument.ts';
import { readCount, readInt64 } from './integer.ts';
import { DepthSnapshotView, DepthView, GROUP_HEADER, PartialDepthView } from './levels.ts';
import type { Track, Tracks } from './position.ts';
import {
  AggTradeView, AT_INSTRUMENT, AT_SEQ, AverageView, BarView, QuoteView, RollingTickerView, STATUSES, StatusView, TickerView,
  TradeView,
} from './view.ts';

/** The schema's id. */
export const SCHEMA_ID = 7101;

/** Bytes of a message's header. */
const HEADER = 8;

/** Template ids and the bytes of header and root block that this version knows. */
export const TEMPLATES = {
  Trade: { id: 1, bytes: 65 },
  Quote: { id: 2, bytes: 64 },
  DepthUpdate: { id: 3, bytes: 49 },
  PartialDepth: { id: 4, bytes: 41 },
  DepthSnapshot: { id: 5, bytes: 41 },
  Ticker: { id: 6, bytes: 120 },
  Bar: { id: 7, bytes: 122 },
  Status: { id: 8, bytes: 33 },
  AggTrade: { id: 9, bytes: 81 },
  RollingTicker: { id: 10, bytes: 113 },
  Average: { id: 11, bytes: 52 },
  Gap: { id: 20, bytes: 16 },
  Heartbeat: { id: 21, bytes: 24 },
  Definition: { id: 22, bytes: 75 },
  FeedStatus: { id: 23, bytes: 25 },
} as const;

const BYTES: number[] = [];
for (const { id, bytes } of Object.values(TEMPLATES)) BYTES[id] = bytes;

/** Bytes of one entry of a gap. */
const GAP_ENTRY = 22;

export const REASONS: readonly (GapReason | undefined)[] = [
  undefined, 'conflated', 'lost', 'lapped', 'resume', 'reset',
];
export const STATES: readonly (FeedState | undefined)[] = [undefined, 'live', 'silent', 'restarted', 'stopped'];

/** A message that means nothing: the protocol is violated. */
export class Violation extends Error {}

/** Where decoded events go. */
export interface Sink {
  market(track: Track, code: number, seq: number, event: MarketEvent): void;
  gap(track: Track, code: number, reason: GapReason, firstSeq: number, count: number): void;
  other(event: Exclude<TickcastEvent, MarketEvent>): void;
}

/** Takes the messages of one connection apart. */
export class SbeDecoder {
  readonly #tracks: Tracks;
  readonly #sink: Sink;
  /** Instruments of the present epoch, as defined on this connection. */
  #byId: (Track | undefined)[] = [];
  #byWideId = new Map<number, Track>();
  #epoch = 0n;

  readonly #trade = new TradeView();
  readonly #quote = new QuoteView();
  readonly #depth = new DepthView();
  readonly #partial = new PartialDepthView();
  readonly #snapshot = new DepthSnapshotView();
  readonly #ticker = new TickerView();
  readonly #bar = new BarView();
  readonly #status = new StatusView();
  readonly #aggTrade = new AggTradeView();
  readonly #rollingTicker = new RollingTickerView();
  readonly #average = new AverageView();

  constructor(tracks: Tracks, sink: Sink) {
    this.#tracks = tracks;
    this.#sink = sink;
  }

  /** Decodes a WebSocket message; its events go to the sink one after another. */
  decode(bytes: ArrayBuffer): void {
    const data = new DataView(bytes);
    const length = data.byteLength;
    let at = 0;
    while (at < length) {
      if (length - at < HEADER) throw new Violation('a message that is cut off');
      const template = data.getUint16(at + 2, true);
      if (data.getUint16(at + 4, true) !== SCHEMA_ID) throw new Violation('a message of another schema');
      const known = BYTES[template];
      // A message of unknown template has no length that one could skip by: the rest is dropped, and shows as a gap.
      if (known === undefined) return;
      const end = this.#end(data, at, template, known);
      this.#message(data, at, template);
      at = end;
    }
  }

  /** Where the message ends; it lies within its bytes. */
  #end(data: DataView, at: number, template: number, known: number): number {
    let end = at + HEADER + data.getUint16(at, true);
    if (end - at < known) throw new Violation('a message that is too short');
    const groups = template === 20 ? 1 : template >= 3 && template <= 5 ? 2 : 0;
    for (let i = 0; i < groups; i++) {
      if (end + GROUP_HEADER > data.byteLength) throw new Violation('a message that is cut off');
      const stride = data.getUint16(end, true);
      const count = data.getUint16(end + 2, true);
      if (count > 0 && stride < (template === 20 ? GAP_ENTRY : 16)) throw new Violation('a group that is too short');
      end += GROUP_HEADER + stride * count;
    }
    if (end > data.byteLength) throw new Violation('a message that is cut off');
    return end;
  }

  #message(data: DataView, at: number, template: number): void {
    if (template > TEMPLATES.Average.id) return this.#control(data, at, template);
    const track = this.#track(data.getUint32(at + AT_INSTRUMENT, true));
    const seq = readCount(data, at + AT_SEQ);
    const instrument = track.instrument!;
    const sink = this.#sink;
    switch (template) {
      case TEMPLATES.Trade.id:
        return sink.market(track, TRADE, seq, this.#trade.move(data, at, instrument, TRADE));
      case TEMPLATES.Quote.id:
        return sink.market(track, QUOTE, seq, this.#quote.move(data, at, instrument, QUOTE));
      case TEMPLATES.DepthUpdate.id:
        return sink.market(track, DEPTH, seq, this.#depth.move(data, at, instrument, DEPTH));
      case TEMPLATES.PartialDepth.id: {
        const code = data.getUint8(at + 40);
        if (code > DEPTH && code < TICKER) {
          sink.market(track, code, seq, this.#partial.move(data, at, instrument, code));
        }
        return;
      }
      case TEMPLATES.DepthSnapshot.id:
        return sink.market(track, DEPTH, seq, this.#snapshot.move(data, at, instrument, DEPTH));
      case TEMPLATES.Ticker.id:
        return sink.market(track, TICKER, seq, this.#ticker.move(data, at, instrument, TICKER));
      case TEMPLATES.Bar.id: {
        const code = data.getUint8(at + 120);
        if (code > STATUS && code <= BAR_LAST) {
          sink.market(track, code, seq, this.#bar.move(data, at, instrument, code));
        }
        return;
      }
      case TEMPLATES.Status.id:
        if (STATUSES[data.getUint8(at + 32)] !== undefined) {
          sink.market(track, STATUS, seq, this.#status.move(data, at, instrument, STATUS));
        }
        return;
      case TEMPLATES.AggTrade.id:
        return sink.market(track, AGG_TRADE, seq, this.#aggTrade.move(data, at, instrument, AGG_TRADE));
      case TEMPLATES.RollingTicker.id: {
        const code = data.getUint8(at + 112);
        if (code > AGG_TRADE && code < AVERAGE) {
          sink.market(track, code, seq, this.#rollingTicker.move(data, at, instrument, code));
        }
        return;
      }
      case TEMPLATES.Average.id:
        return sink.market(track, AVERAGE, seq, this.#average.move(data, at, instrument, AVERAGE));
    }
  }

  #control(data: DataView, at: number, template: number): void {
    switch (template) {
      case TEMPLATES.Gap.id:
        return this.#gap(data, at);
      case TEMPLATES.Heartbeat.id:
        return this.#sink.other({
          type: 'heartbeat', tsNs: data.getBigUint64(at + 8, true), epoch: data.getBigUint64(at + 16, true),
        });
      case TEMPLATES.Definition.id:
        return this.#define(data, at);
      case TEMPLATES.FeedStatus.id: {
        const state = STATES[data.getUint8(at + 24)];
        if (state === undefined) return;
        return this.#sink.other({
          type: 'feed', tsNs: data.getBigUint64(at + 8, true), epoch: data.getBigUint64(at + 16, true), state,
        });
      }
    }
  }

  #gap(data: DataView, at: number): void {
    const group = at + HEADER + data.getUint16(at, true);
    const stride = data.getUint16(group, true);
    const count = data.getUint16(group + 2, true);
    for (let i = 0; i < count; i++) {
      const entry = group + GROUP_HEADER + i * stride;
      const code = data.getUint8(entry + 20);
      const reason = REASONS[data.getUint8(entry + 21)];
      if (code >= CHANNELS.length || reason === undefined) continue;
      const track = this.#track(data.getUint32(entry + 16, true));
      this.#sink.gap(track, code, reason, readCount(data, entry), readCount(data, entry + 8));
    }
  }

  #define(data: DataView, at: number): void {
    const epoch = data.getBigUint64(at + 8, true);
    if (epoch !== this.#epoch) {
      // Numbers of an earlier epoch mean other instruments.
      this.#epoch = epoch;
      this.#byId = [];
      this.#byWideId.clear();
    }
    const id = data.getUint32(at + 16, true);
    let symbol = '';
    for (let i = 0; i < 32; i++) {
      const char = data.getUint8(at + 43 + i);
      if (char === 0) break;
      symbol += String.fromCharCode(char);
    }
    const instrument = new Instrument({
      id,
      symbol,
      base: symbol.slice(0, data.getUint8(at + 42)),
      priceExponent: data.getInt8(at + 40),
      quantityExponent: data.getInt8(at + 41),
      tickSize: readInt64(data, at + 24),
      lotSize: readInt64(data, at + 32),
      channels: channelSet(data.getUint32(at + 20, true)),
    });
    const track = this.#tracks.of(symbol);
    if (id < DENSE_IDS) this.#byId[id] = track;
    else this.#byWideId.set(id, track);
    define(track, instrument, epoch, this.#sink);
  }

  #track(id: number): Track {
    const track = id < DENSE_IDS ? this.#byId[id] : this.#byWideId.get(id);
    if (track === undefined) throw new Violation('an instrument that was not defined');
    return track;
  }
}

/** Ids below are indices of an array; gateways number instruments from 0. */
const DENSE_IDS = 1 << 20;

/** Takes a definition; a gateway may define again what is known. */
export function define(track: Track, instrument: Instrument, epoch: bigint, sink: Sink): void {
  if (track.instrument?.equals(instrument)) return;
  track.instrument = instrument;
  sink.other({ type: 'definition', epoch, instrument });
}

