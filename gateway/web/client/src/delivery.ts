// Delivery: decoded events on their way to handlers. Each number of a topic passes once, or is counted in a gap.

import { CHANNELS } from './channel.ts';
import { call, Emitter } from './emitter.ts';
import type { Gap, GapReason, MarketEvent, TickcastEvent } from './event.ts';
import type { Track, Tracks } from './position.ts';
import type { Sink } from './sbe.ts';

/** What has passed. */
export interface Statistics {
  /** WebSocket messages, and their payload's bytes (of text: its characters). */
  readonly messages: number;
  readonly bytes: number;
  /** Market data. */
  readonly events: number;
  /** Numbers that a newer or merged event stands for, and numbers that are gone, as gaps have said. */
  readonly conflated: number;
  readonly lost: number;
  /** How often the epoch changed for a topic, each with an unknown number of missed events. */
  readonly resets: number;
  /** Events that came again because terms were changed or a connection was resumed, and were not delivered. */
  readonly repeats: number;
  readonly reconnects: number;
}

/** Who watches a topic. */
export interface Watcher {
  /** The instruments whose present state others have and this one is still to get. */
  missing: Set<Track> | undefined;
  readonly handler: (event: MarketEvent | Gap) => void;
}

/** Hands events on. */
export class Delivery implements Sink {
  readonly statistics = {
    messages: 0, bytes: 0, events: 0, conflated: 0, lost: 0, resets: 0, repeats: 0, reconnects: 0,
  };
  readonly #emitter: Emitter;
  readonly #tracks: Tracks;
  /** Watchers of one topic, by track and channel. */
  readonly #watchers = new Map<Track, (readonly Watcher[] | undefined)[]>();
  /** Watchers of a channel of all instruments. */
  readonly #wildcards: (readonly Watcher[] | undefined)[] = Array.from(CHANNELS, () => undefined);

  constructor(emitter: Emitter, tracks: Tracks) {
    this.#emitter = emitter;
    this.#tracks = tracks;
  }

  market(track: Track, code: number, seq: number, event: MarketEvent): void {
    const skipped = track.skipped(code, seq);
    if (skipped !== undefined) this.#gap(track, code, skipped);
    const isNews = event.type === 'snapshot' ? track.acceptSnapshot(seq, event.isLast) : track.accept(code, seq);
    if (!isNews) return this.#repeat(track, code, event);
    if (event.type === 'depth' && event.replacesBook) track.needsBook = false;
    this.statistics.events += 1;
    this.#emitter.emit(event);
    if (this.#watchers.size > 0) this.#watch(this.#watchers.get(track)?.[code], track, event);
    this.#watch(this.#wildcards[code], track, event);
  }

  gap(track: Track, code: number, reason: GapReason, firstSeq: number, count: number): void {
    const gap = track.announced(code, reason, firstSeq, count);
    if (gap !== undefined) this.#gap(track, code, gap);
  }

  other(event: Exclude<TickcastEvent, MarketEvent>): void {
    if (event.type === 'feed' || event.type === 'heartbeat') this.#tracks.enter(event.epoch);
    this.#emitter.emit(event);
  }

  /** Who watches this topic (or all instruments, if there is no track) from now on. */
  setWatchers(track: Track | undefined, code: number, watchers: readonly Watcher[]): void {
    const some = watchers.length === 0 ? undefined : watchers;
    if (track === undefined) {
      this.#wildcards[code] = some;
      return;
    }
    const ofTrack = this.#watchers.get(track) ?? [];
    ofTrack[code] = some;
    if (ofTrack.some((watchers) => watchers !== undefined)) this.#watchers.set(track, ofTrack);
    else this.#watchers.delete(track);
  }

  #gap(track: Track, code: number, gap: Gap): void {
    const { statistics } = this;
    if (gap.reason === 'conflated') statistics.conflated += gap.count;
    else if (gap.reason === 'reset') statistics.resets += 1;
    else statistics.lost += gap.count;
    this.#emitter.emit(gap);
    this.#watch(this.#watchers.get(track)?.[code], track, gap);
    this.#watch(this.#wildcards[code], track, gap);
  }

  #watch(watchers: readonly Watcher[] | undefined, track: Track, event: MarketEvent | Gap): void {
    if (watchers === undefined) return;
    for (const watcher of watchers) {
      if (watcher.missing !== undefined) settle(watcher, track, event);
      call(watcher.handler, event);
    }
  }

  /** What was received before is news to who came later. */
  #repeat(track: Track, code: number, event: MarketEvent): void {
    this.statistics.repeats += 1;
    for (const watchers of [this.#watchers.get(track)?.[code], this.#wildcards[code]]) {
      for (const watcher of watchers ?? []) {
        if (!watcher.missing?.has(track)) continue;
        settle(watcher, track, event);
        call(watcher.handler, event);
      }
    }
  }
}

/** Notes that a watcher has got the present state of an instrument, if this is it. */
function settle(watcher: Watcher, track: Track, event: MarketEvent | Gap): void {
  if (!isState(event)) return;
  watcher.missing!.delete(track);
  if (watcher.missing!.size === 0) watcher.missing = undefined;
}

/** Whether who has got this has the present state. */
function isState(event: MarketEvent | Gap): boolean {
  if (event.type === 'snapshot') return event.isLast;
  return event.type !== 'gap' && event.type !== 'depth';
}
