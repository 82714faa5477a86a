// A session: one connection with its decoder, the commands that wait for answers, and an ear for silence.

import { CommandError, LostError, RefusedError } from './error.ts';
import { JsonDecoder } from './json.ts';
import type { Link, Receiver } from './link.ts';
import type { Tracks } from './position.ts';
import { parseReply, type Hello, type Reply } from './reply.ts';
import { SbeDecoder, Violation, type Sink } from './sbe.ts';

/** Who is told what becomes of a session. */
export interface SessionOwner {
  /** A message has been decoded, and its events delivered. */
  messageEnd(bytes: number): void;
  sessionLost(session: Session, reason: LostError): void;
  expiring(session: Session, inMs: number): void;
  revoked(topics: readonly string[], narrowed: readonly string[]): void;
}

interface Pending {
  before(reply: Reply): void;
  resolve(reply: Reply): void;
  reject(error: CommandError | RefusedError): void;
}

let lastId = 0;

/** A connection that is open. */
export class Session implements Receiver {
  readonly hello: Hello;
  readonly #link: Link;
  readonly #owner: SessionOwner;
  readonly #sbe: SbeDecoder;
  readonly #json: JsonDecoder;
  readonly #pending = new Map<number, Pending>();
  readonly #pace: Pace;
  readonly #silenceMaxMs: number;
  #heardAt = now();
  #dueAt = Infinity;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  /** Whether the peer was asked, and nothing was heard since. */
  #isProbing = false;
  #isOver = false;

  constructor(link: Link, tracks: Tracks, sink: Sink, owner: SessionOwner, silenceMaxMs: number | undefined) {
    this.hello = link.hello;
    this.#link = link;
    this.#owner = owner;
    this.#sbe = new SbeDecoder(tracks, sink);
    this.#json = new JsonDecoder(tracks, sink);
    this.#pace = new Pace(link.hello.limits.commandsPerSecond, (text) => link.send(text));
    this.#silenceMaxMs = silenceMaxMs ?? 2 * Math.max(1, link.hello.heartbeatMs);
  }

  get isOver(): boolean { return this.#isOver; }

  /** Begins to deliver. */
  start(): void {
    this.#heardAt = now();
    this.#listen(this.#silenceMaxMs);
    this.#link.receive(this);
  }

  /**
   * Gives a command and waits for its answer. `before` is called with an answer that is no refusal before anything else
   * that the server says: promises are resolved too late for that where messages arrive in one piece.
   *
   * @throws RefusedError if the server refuses it as a whole
   * @throws CommandError if the connection is lost before the answer
   */
  ask(text: (id: number) => string, before: (reply: Reply) => void = () => {}): Promise<Reply> {
    if (this.#isOver) return Promise.reject(disconnected());
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { before, resolve, reject });
      this.#pace.send(text(id));
    });
  }

  /**
   * Finds out at once whether the peer is still there: after a sleep, or when the network has changed. A dead connection
   * is otherwise only noticed by its silence.
   */
  probe(): void {
    if (this.#isOver) return;
    this.#isProbing = true;
    const within = Math.min(this.#silenceMaxMs, PROBE_MS);
    this.ask((id) => JSON.stringify({ op: 'ping', id })).catch(() => {});
    this.#heardAt = now() - (this.#silenceMaxMs - within);
    this.#listen(within);
  }

  close(): void {
    this.#end();
    this.#link.close();
  }

  message(data: string | ArrayBuffer): void {
    this.#heardAt = now();
    this.#isProbing = false;
    try {
      if (typeof data === 'string') this.#text(data);
      else this.#sbe.decode(data);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#link.close();
      return this.lost(new LostError('protocol', `protocol violated: ${error.message}`));
    }
    this.#owner.messageEnd(typeof data === 'string' ? data.length : data.byteLength);
  }

  lost(reason: LostError): void {
    if (this.#isOver) return;
    this.#end();
    this.#owner.sessionLost(this, reason);
  }

  #text(text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Violation('a text that is not JSON');
    }
    if (Array.isArray(value)) return this.#json.decode(value);
    const reply = parseReply(value);
    if (reply === undefined) throw new Violation('a reply that cannot be read');
    if (reply.op === 'expiring') return this.#owner.expiring(this, reply.inMs);
    if (reply.op === 'revoked') return this.#owner.revoked(reply.topics, reply.narrowed);
    if (reply.op === 'hello' || reply.id === undefined) return;
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    this.#pending.delete(reply.id);
    if (reply.op === 'error') return pending.reject(reply.refusal);
    pending.before(reply);
    pending.resolve(reply);
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#watchdog);
    this.#pace.stop();
    for (const pending of this.#pending.values()) pending.reject(disconnected());
    this.#pending.clear();
  }

  /** Looks after `ms` whether something was heard meanwhile. */
  #listen(ms: number): void {
    clearTimeout(this.#watchdog);
    this.#dueAt = now() + ms;
    this.#watchdog = setTimeout(() => this.#check(), ms);
  }

  #check(): void {
    const late = now() - this.#dueAt;
    const silent = now() - this.#heardAt;
    if (silent < this.#silenceMaxMs) return this.#listen(this.#silenceMaxMs - silent);
    // A page that was frozen, or a laptop that slept, has not listened: what arrived meanwhile waits behind this timer.
    if (late > PROBE_MS && !this.#isProbing) return this.probe();
    this.#link.close();
    this.lost(new LostError('silent', 'the server went silent'));
  }
}

/** How long a peer has to show that it is there when it is asked. */
const PROBE_MS = 2_000;

function disconnected(): CommandError {
  return new CommandError('disconnected', 'the connection was lost before the answer came');
}

/** Monotonic milliseconds. */
function now(): number {
  return performance.now();
}

/** Sends commands no faster than the server takes them: one that goes on being too fast is disconnected. */
class Pace {
  readonly #perSecond: number;
  readonly #send: (text: string) => void;
  readonly #queue: string[] = [];
  #tokens: number;
  #at = now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(perSecond: number, send: (text: string) => void) {
    this.#perSecond = Math.max(1, perSecond);
    this.#tokens = this.#perSecond;
    this.#send = send;
  }

  send(text: string): void {
    this.#queue.push(text);
    this.#flush();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #flush(): void {
    const at = now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + (at - this.#at) / 1_000 * this.#perSecond);
    this.#at = at;
    while (this.#tokens >= 1) {
      const text = this.#queue.shift();
      if (text === undefined) return;
      this.#tokens -= 1;
      this.#send(text);
    }
    clearTimeout(this.#timer);
    if (this.#queue.length > 0) this.#timer = setTimeout(() => this.#flush(), 1_000 / this.#perSecond);
  }
}
