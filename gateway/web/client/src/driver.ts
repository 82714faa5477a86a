// The driver: makes connections for as long as the client lives, and decides whether there is to be another.

import { Backoff } from './backoff.ts';
import { Credential } from './credential.ts';
import { EndedError, type ConnectError, type LostError } from './error.ts';
import { Link } from './link.ts';
import type { Settings } from './options.ts';
import type { Tracks } from './position.ts';
import { Session, type SessionOwner } from './session.ts';
import type { Sink } from './sbe.ts';

/** A connection that lasted this long was a good one: the next outage begins with short pauses. */
const GOOD_AFTER_MS = 10_000;

/** Where a client is. `waiting`: between two attempts. */
export type ClientState = 'connecting' | 'connected' | 'waiting' | 'ended';

/** Who is told. */
export interface DriverOwner {
  messageEnd(bytes: number): void;
  /** There is a connection; nothing has been delivered of it yet. */
  connected(session: Session): void;
  disconnected(reason: LostError, retryInMs: number): void;
  attemptFailed(reason: ConnectError, retryInMs: number): void;
  /** The credential of this connection is good for so long. */
  expiring(inMs: number): void;
  /** It is not good for these topics any more, and for fewer instruments of these. */
  revoked(topics: readonly string[], narrowed: readonly string[]): void;
  /** There will be no other. */
  ended(reason: EndedError): void;
}

/** Owns the connection. */
export class Driver implements SessionOwner {
  state: ClientState = 'connecting';
  session: Session | undefined;
  readonly #url: string;
  readonly #settings: Settings;
  readonly #tracks: Tracks;
  readonly #sink: Sink;
  readonly #owner: DriverOwner;
  readonly #backoff: Backoff;
  readonly #credential: Credential;
  readonly #abort = new AbortController();
  #since = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, settings: Settings, tracks: Tracks, sink: Sink, owner: DriverOwner) {
    this.#url = url;
    this.#settings = settings;
    this.#tracks = tracks;
    this.#sink = sink;
    this.#owner = owner;
    this.#backoff = new Backoff(settings.reconnect);
    this.#credential = new Credential(settings);
  }

  /** Makes an attempt; others follow by themselves. */
  async attempt(): Promise<void> {
    clearTimeout(this.#timer);
    this.state = 'connecting';
    try {
      const link = await Link.open(this.#url, this.#settings, this.#abort.signal);
      if (this.#abort.signal.aborted) return link.close();
      await this.#credential.show(link, this.#abort.signal);
      if (this.#abort.signal.aborted) return link.close();
      this.#serve(link);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const failed = error as ConnectError;
      const pause = failed.isRetriable ? this.#backoff.pause() : undefined;
      if (pause === undefined) return this.#end(new EndedError('reconnect', failed.message, failed));
      this.#wait(pause);
      this.#owner.attemptFailed(failed, pause);
    }
  }

  /** Something speaks for trying now: the network is back, the page is seen again. */
  wake(): void {
    if (this.state === 'waiting') void this.attempt();
    else this.session?.probe();
  }

  close(): void {
    if (this.state === 'ended') return;
    this.#abort.abort();
    const session = this.session;
    this.#end(new EndedError('closed', 'the client was closed'));
    session?.close();
  }

  sessionLost(_: Session, reason: LostError): void {
    this.session = undefined;
    if (performance.now() - this.#since >= GOOD_AFTER_MS) this.#backoff.reset();
    const isRetriable = reason.isRetriable || (reason.kind === 'notEntitled' && this.#credential.mayRenew());
    const pause = isRetriable ? this.#backoff.pause() : undefined;
    if (pause === undefined) return this.#end(new EndedError('lost', reason.message, reason));
    this.#wait(pause);
    this.#owner.disconnected(reason, pause);
  }

  messageEnd(bytes: number): void { this.#owner.messageEnd(bytes); }

  expiring(session: Session, inMs: number): void {
    this.#owner.expiring(inMs);
    void this.#credential.renew(session, inMs);
  }

  revoked(topics: readonly string[], narrowed: readonly string[]): void { this.#owner.revoked(topics, narrowed); }

  #serve(link: Link): void {
    const session = new Session(link, this.#tracks, this.#sink, this, this.#settings.silenceMaxMs);
    this.session = session;
    this.state = 'connected';
    this.#since = performance.now();
    this.#owner.connected(session);
    // A handler may have closed the client.
    if (this.session === session) session.start();
  }

  #wait(ms: number): void {
    this.state = 'waiting';
    this.#timer = setTimeout(() => void this.attempt(), ms);
  }

  #end(reason: EndedError): void {
    clearTimeout(this.#timer);
    this.session = undefined;
    this.state = 'ended';
    this.#owner.ended(reason);
  }
}
