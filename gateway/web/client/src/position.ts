// Positions: how far the client has come in each topic, in the order of delivery.
//
// There is one track for each symbol. It outlives connections: what was received last is where the next one goes on, and
// what comes twice when the terms of a subscription change is recognised here.

import { CHANNELS, DEPTH, splitTopic } from './channel.ts';
import type { Gap, GapReason } from './event.ts';
import type { Instrument } from './instrument.ts';

/** The last number received of each topic, and the epoch that gives them meaning; the protocol's own form of it. */
export interface Position {
  readonly epoch: string;
  readonly topics: Readonly<Record<string, string>>;
}

const NONE = -1;

/** A symbol's progress in each channel. */
export class Track {
  readonly symbol: string;
  /** None until it is defined. */
  instrument: Instrument | undefined;
  /** The last number received, by the channel's code; below 0: none. */
  readonly last = new Float64Array(CHANNELS.length).fill(NONE);
  /** A bit for each channel whose next event may be one that was received already. */
  repeats = 0;
  /** Whether changes of the book were missed, or half a snapshot was received: only a whole one helps. */
  needsBook = false;

  constructor(symbol: string) {
    this.symbol = symbol;
  }

  /** Whether this event is news. It counts as received from now on. */
  accept(code: number, seq: number): boolean {
    if (seq <= this.last[code]! && (this.repeats >>> code & 1) === 0) return false;
    this.repeats &= ~(1 << code);
    this.last[code] = seq;
    return true;
  }

  /** Likewise of a part of a snapshot. Its number counts as received with the first part, its book with the last. */
  acceptSnapshot(seq: number, isLast: boolean): boolean {
    const isNews = this.needsBook || seq > this.last[DEPTH]! || (this.repeats >>> DEPTH & 1) !== 0;
    if (!isNews) return false;
    this.needsBook = !isLast;
    this.last[DEPTH] = seq;
    if (isLast) this.repeats &= ~(1 << DEPTH);
    return true;
  }

  /** The numbers between the last received and this one, which no gap has announced. */
  skipped(code: number, seq: number): Gap | undefined {
    const last = this.last[code]!;
    if (last < 0 || seq <= last + 1) return undefined;
    return this.announced(code, 'resume', last + 1, seq - last - 1);
  }

  /** What is new in a gap that the server announces. */
  announced(code: number, reason: GapReason, firstSeq: number, count: number): Gap | undefined {
    if (count === 0) {
      if (code === DEPTH) this.needsBook = true;
      this.last[code] = NONE;
      return this.#gap(code, reason, firstSeq, 0);
    }
    const last = this.last[code]!;
    const end = firstSeq + count;
    const begin = last >= firstSeq ? last + 1 : firstSeq;
    // Of changes that were received before terms were changed, nothing is missing.
    if (begin >= end) return undefined;
    if (code === DEPTH && reason !== 'conflated') this.needsBook = true;
    this.last[code] = end - 1;
    return this.#gap(code, reason, begin, begin === firstSeq ? count : end - begin);
  }

  #gap(code: number, reason: GapReason, firstSeq: number, count: number): Gap {
    const instrument = this.instrument!;
    return {
      type: 'gap',
      topic: instrument.topic(code),
      symbol: this.symbol,
      channel: CHANNELS[code]!,
      instrument,
      reason,
      firstSeq,
      count,
    };
  }

  forget(code: number): void {
    this.last[code] = NONE;
  }
}

/** All tracks of an epoch. */
export class Tracks {
  /** 0: none yet. */
  epoch = 0n;
  readonly #bySymbol = new Map<string, Track>();

  /** The track of a symbol, new if need be. */
  of(symbol: string): Track {
    let track = this.#bySymbol.get(symbol);
    if (track === undefined) {
      track = new Track(symbol);
      this.#bySymbol.set(symbol, track);
    }
    return track;
  }

  get(symbol: string): Track | undefined {
    return this.#bySymbol.get(symbol);
  }

  [Symbol.iterator](): IterableIterator<Track> {
    return this.#bySymbol.values();
  }

  /** Numbers of an earlier epoch mean nothing in this one; 0 is "no feed yet", not an epoch. */
  enter(epoch: bigint): void {
    if (epoch === this.epoch || epoch === 0n) return;
    this.epoch = epoch;
    for (const track of this.#bySymbol.values()) {
      track.last.fill(NONE);
      track.needsBook = false;
    }
  }

  /** The tracks and the channel that a topic stands for. */
  *covered(topic: string): Generator<[Track, number]> {
    const split = splitTopic(topic);
    if (split === undefined) return;
    if (split.symbol !== '*') {
      const track = this.#bySymbol.get(split.symbol);
      if (track !== undefined) yield [track, split.code];
      return;
    }
    for (const track of this.#bySymbol.values()) yield [track, split.code];
  }

  /**
   * The numbers received last of these topics, in the protocol's form; none if there are none. With `last-again` those
   * before, except of depth, so that the last event comes again.
   */
  position(topics: Iterable<string>, from: 'after-last' | 'last-again' = 'after-last'): Position | undefined {
    const numbers: Record<string, string> = {};
    let isEmpty = true;
    for (const topic of topics) {
      for (const [track, code] of this.covered(topic)) {
        const last = track.last[code]!;
        if (last < 0 || (code === DEPTH && (track.needsBook || from === 'last-again'))) continue;
        numbers[`${track.symbol}.${CHANNELS[code]!}`] = String(from === 'last-again' && last > 0 ? last - 1 : last);
        isEmpty = false;
      }
    }
    return isEmpty ? undefined : { epoch: String(this.epoch), topics: numbers };
  }

  /** Begins these topics where a stored position of the same epoch has them. */
  adopt(position: Position, topics: Iterable<string>): void {
    if (position.epoch !== String(this.epoch)) return;
    const accepted = new Set(topics);
    for (const [topic, seq] of Object.entries(position.topics)) {
      const split = splitTopic(topic);
      if (split === undefined) continue;
      const wildcard = `*.${CHANNELS[split.code]!}`;
      if (accepted.has(topic) || accepted.has(wildcard)) this.of(split.symbol).last[split.code] = Number(seq);
    }
  }
}
