// Pauses between attempts: exponential, with full jitter.
//
// When a gateway with thousands of clients ends, all of them come back. A uniformly random part of a growing bound
// spreads them evenly over it, which no fixed pause does (see "Exponential Backoff And Jitter", AWS Architecture Blog).

import type { Settings } from './options.ts';

/** The pauses of one outage. */
export class Backoff {
  readonly #policy: Settings['reconnect'];
  readonly #random: () => number;
  #attempts = 0;

  constructor(policy: Settings['reconnect'], random: () => number = Math.random) {
    this.#policy = policy;
    this.#random = random;
  }

  /** The next pause in ms; none when it is time to give up. */
  pause(): number | undefined {
    if (this.#policy === 'never' || this.#attempts >= this.#policy.attempts) return undefined;
    const bound = Math.min(this.#policy.minMs * 2 ** Math.min(this.#attempts, 30), this.#policy.maxMs);
    this.#attempts += 1;
    return bound * this.#random();
  }

  /** A connection held: the next outage begins anew. */
  reset(): void {
    this.#attempts = 0;
  }
}
