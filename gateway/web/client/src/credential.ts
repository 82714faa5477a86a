// The credential: what a client shows to a gateway that asks, on each connection and again before it expires.

import { ConnectError, RefusedError } from './error.ts';
import type { Link } from './link.ts';
import type { Settings } from './options.ts';
import type { Session } from './session.ts';

/** How long at most between two tries to renew, and at least. */
const RENEW_MAX_MS = 5_000;
const RENEW_MIN_MS = 250;

/** Shows tokens. */
export class Credential {
  readonly #settings: Settings;
  /** Whether a connection was accepted since one was refused: then it may be so again, with a new token. */
  #wasGood = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /**
   * Shows a token on a new connection, if that is asked for.
   *
   * @throws ConnectError
   */
  async show(link: Link, signal: AbortSignal): Promise<void> {
    if (link.hello.auth !== 'required') return;
    const { connectTimeoutMs } = this.#settings;
    try {
      const token = await this.#token();
      if (signal.aborted) throw new ConnectError('failed', 'given up');
      await link.authenticate(token, signal, connectTimeoutMs);
      this.#wasGood = true;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /**
   * Whether another connection may be made though this one ended for want of a good token: its source may have a new one. Once,
   * until one is accepted.
   */
  mayRenew(): boolean {
    const may = this.#wasGood && typeof this.#settings.token === 'function';
    this.#wasGood = false;
    return may;
  }

  /** Shows a new token on a connection whose own expires in so long. A text that stays the same is no new one. */
  async renew(session: Session, inMs: number): Promise<void> {
    if (typeof this.#settings.token !== 'function') return;
    const until = performance.now() + inMs;
    for (;;) {
      try {
        const token = await this.#token();
        await session.ask((id) => JSON.stringify({ op: 'auth', id, token }));
        return;
      } catch (error) {
        // Anything else is said by the end of the connection, if it comes to that.
        const left = until - performance.now();
        if (session.isOver || left <= 0 || (error instanceof RefusedError && !error.isRetriable)) return;
        const pause = Math.max(RENEW_MIN_MS, Math.min(RENEW_MAX_MS, left / 4));
        await new Promise<void>((done) => { setTimeout(done, pause); });
        if (session.isOver) return;
      }
    }
  }

  async #token(): Promise<string> {
    const { token, connectTimeoutMs } = this.#settings;
    if (token === undefined) throw new ConnectError('auth', 'the gateway asks for a token: give one as the option token');
    if (typeof token === 'string') return token;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ConnectError('timeout', 'the option token gave none in time')), connectTimeoutMs);
    });
    try {
      const given: unknown = await Promise.race([asked(token), late]);
      if (typeof given !== 'string' || given === '') throw new TypeError('expected a text that is not empty');
      return given;
    } catch (error) {
      if (error instanceof ConnectError) throw error;
      throw new ConnectError('token', `the option token gave none: ${error instanceof Error ? error.message : String(error)}`, error);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What the source gives; also what it throws before it has given a promise. */
async function asked(source: () => string | Promise<string>): Promise<string> {
  return source();
}
