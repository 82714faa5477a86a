// The registry: what is subscribed at the moment, to be subscribed again on the next connection.

import { isWildcard } from './channel.ts';
import { rate, shown } from './options.ts';
import type { Position } from './position.ts';
import type { Mode } from './reply.ts';

/** How topics are delivered. */
export interface SubscribeOptions {
  /** `every` if not given. */
  readonly mode?: Mode;
  /** Deliveries of each topic at most so many times a second, 1 to 1000; trades are not merged, they come together. */
  readonly maxRate?: number;
  /**
   * Whether to begin with the present state. If not given: yes, but a topic that is received already goes on where it is.
   * `true` sends the present state once more; of trades that is the last one.
   */
  readonly snapshot?: boolean;
  /** Begins behind a stored position instead: what the server still has comes, the rest is in a gap. */
  readonly resume?: Position;
}

export interface Terms {
  readonly mode: Mode;
  readonly maxRate: number | undefined;
  readonly snapshot: boolean;
}

/** A subscribe command. */
export interface Subscribe {
  readonly topics: readonly string[];
  readonly terms: Terms;
  readonly resume: Position | undefined;
}

/**
 * @throws TypeError or RangeError if a value cannot be meant
 */
export function terms({ mode = 'every', maxRate, snapshot = true }: SubscribeOptions): Terms {
  if (mode !== 'every' && mode !== 'conflate') throw new TypeError(`mode: expected 'every' or 'conflate', found ${shown(mode)}`);
  return { mode, maxRate: maxRate === undefined ? undefined : rate('maxRate', maxRate), snapshot };
}

/** What is wanted of several who share a topic: the most that one of them asks for. */
export function moreOf(a: Terms, b: Terms): Terms {
  return {
    mode: a.mode === 'every' || b.mode === 'every' ? 'every' : 'conflate',
    maxRate: a.maxRate === undefined || b.maxRate === undefined ? undefined : Math.max(a.maxRate, b.maxRate),
    snapshot: a.snapshot || b.snapshot,
  };
}

/** The command on the wire. */
export function subscribeText(id: number, { topics, terms, resume }: Subscribe): string {
  return JSON.stringify({
    op: 'subscribe',
    id,
    topics,
    mode: terms.mode,
    max_rate: terms.maxRate,
    snapshot: terms.snapshot ? undefined : false,
    resume,
  });
}

/** The command that ends subscriptions, on the wire. */
export function unsubscribeText(id: number, topics: readonly string[]): string {
  return JSON.stringify({ op: 'unsubscribe', id, topics });
}

/** What is subscribed, and how. */
export class Registry {
  readonly #topics = new Map<string, Terms>();
  /** The terms that the server was asked for last. */
  readonly #asked = new Map<string, Terms>();
  /** While the page is hidden: at most so many deliveries a second of each topic. */
  rateMax: number | undefined;

  get(topic: string): Terms | undefined {
    return this.#topics.get(topic);
  }

  set(topic: string, terms: Terms): void {
    this.#topics.set(topic, terms);
  }

  /** The server has these terms already. */
  setAsked(topic: string, terms: Terms): void {
    this.#topics.set(topic, terms);
    this.#asked.set(topic, terms);
  }

  delete(topic: string): void {
    this.#topics.delete(topic);
    this.#asked.delete(topic);
  }

  topics(): string[] {
    return [...this.#topics.keys()];
  }

  /** The commands that subscribe these topics behind their positions, each within the limit. */
  commands(topics: Iterable<string>, topicsMax: number, resume: (topics: string[]) => Position | undefined): Subscribe[] {
    const byTerms = new Map<string, { terms: Terms; topics: string[] }>();
    for (const topic of topics) {
      const terms = this.#effective(topic);
      if (terms === undefined) continue;
      this.#asked.set(topic, terms);
      // Who is received by name is so before a wildcard begins: that then has nothing to say of it.
      const key = `${isWildcard(topic)} ${terms.mode} ${terms.maxRate} ${terms.snapshot}`;
      const group = byTerms.get(key);
      if (group === undefined) byTerms.set(key, { terms, topics: [topic] });
      else group.topics.push(topic);
    }
    const commands: Subscribe[] = [];
    for (const { terms, topics } of byTerms.values()) {
      for (let i = 0; i < topics.length; i += topicsMax) {
        const chunk = topics.slice(i, i + topicsMax);
        commands.push({ topics: chunk, terms, resume: resume(chunk) });
      }
    }
    return commands.sort((a, b) => Number(isWildcard(a.topics[0]!)) - Number(isWildcard(b.topics[0]!)));
  }

  /** The topics whose terms are others than the server was asked for. */
  changed(): string[] {
    return this.topics().filter((topic) => this.#effective(topic)?.maxRate !== this.#asked.get(topic)?.maxRate);
  }

  #effective(topic: string): Terms | undefined {
    const terms = this.#topics.get(topic);
    if (terms === undefined || this.rateMax === undefined) return terms;
    return { ...terms, maxRate: Math.min(terms.maxRate ?? Infinity, this.rateMax) };
  }
}
