// One WebSocket connection up to its hello, then messages both ways. It knows nothing of subscriptions and never
// reconnects.

import { ConnectError, LostError } from './error.ts';
import type { Settings, WebSocketLike } from './options.ts';
import { parseReply, type Hello, type Reply } from './reply.ts';

/** The version of the protocol that this is a client of. */
const PROTOCOL_VERSION = 1;

/** Who gets what arrives. */
export interface Receiver {
  message(data: string | ArrayBuffer): void;
  lost(reason: LostError): void;
}

/** An open connection. */
export class Link {
  readonly hello: Hello;
  readonly #socket: WebSocketLike;
  #receiver: Receiver | undefined;
  /** What arrived before there was a receiver. */
  #early: (string | ArrayBuffer)[] = [];
  #earlyLoss: LostError | undefined;

  private constructor(socket: WebSocketLike, hello: Hello) {
    this.#socket = socket;
    this.hello = hello;
    socket.onmessage = (event: { data: string | ArrayBuffer }) => {
      if (this.#receiver === undefined) this.#early.push(event.data);
      else this.#receiver.message(event.data);
    };
    socket.onclose = (event: CloseLike) => this.#lose(lost(event));
    socket.onerror = ignore;
  }

  /**
   * Connects, and waits for the server's hello.
   *
   * @throws ConnectError
   * @internal
   */
  static open(url: string, settings: Settings, signal: AbortSignal): Promise<Link> {
    return new Promise((resolve, reject) => {
      const subprotocol = `tickcast.v1.${settings.encoding}`;
      let socket: WebSocketLike;
      try {
        socket = new settings.webSocket(url, [subprotocol]) as WebSocketLike;
      } catch (error) {
        // Such as `ws://` in a page that came by `https://`.
        return reject(new ConnectError('url', `${url}: ${error instanceof Error ? error.message : String(error)}`, error));
      }
      socket.binaryType = 'arraybuffer';
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
      };
      const fail = (error: ConnectError) => {
        settle();
        discard(socket);
        reject(error);
      };
      const abort = () => fail(new ConnectError('failed', 'given up'));
      const timer = setTimeout(() => fail(new ConnectError('timeout', 'no connection in time')), settings.connectTimeoutMs);
      signal.addEventListener('abort', abort);
      let isOpen = false;
      socket.onopen = () => {
        isOpen = true;
        if (socket.protocol !== subprotocol) {
          fail(new ConnectError('protocol', 'the server chose no subprotocol, or another'));
        }
      };
      socket.onclose = (event: CloseLike) => {
        const reason = lost(event);
        fail(isOpen
          ? new ConnectError('closed', `the server closed the connection at once: ${reason.message}`, reason)
          : new ConnectError('failed', `${url}: no WebSocket could be opened`));
      };
      socket.onerror = ignore;
      socket.onmessage = (event: { data: string | ArrayBuffer }) => {
        const hello = readHello(event.data);
        if (typeof hello === 'string') return fail(new ConnectError('protocol', hello));
        settle();
        resolve(new Link(socket, hello));
      };
    });
  }

  /**
   * Shows a token, and waits for the answer. What else arrives meanwhile waits for a receiver.
   *
   * @throws ConnectError
   * @internal
   */
  authenticate(token: string, signal: AbortSignal, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: ConnectError) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        this.#receiver = undefined;
        if (error === undefined) return resolve();
        this.close();
        reject(error);
      };
      const abort = () => settle(new ConnectError('failed', 'given up'));
      const timer = setTimeout(() => settle(new ConnectError('timeout', 'no answer to the token in time')), timeoutMs);
      signal.addEventListener('abort', abort);
      this.#receiver = {
        message: (data) => {
          const reply = typeof data === 'string' ? answer(data) : undefined;
          if (reply === undefined || reply.op === 'hello' || reply.id !== AUTH_ID) this.#early.push(data);
          else if (reply.op === 'error') settle(new ConnectError('auth', `the server refused the token: ${reply.refusal.message}`, reply.refusal));
          else settle();
        },
        lost: (reason) => settle(new ConnectError('closed', `the server closed the connection: ${reason.message}`, reason)),
      };
      if (this.#earlyLoss !== undefined) this.#receiver.lost(this.#earlyLoss);
      else this.send(JSON.stringify({ op: 'auth', id: AUTH_ID, token }));
    });
  }

  /** Who gets what arrives from now on, and what has arrived already. */
  receive(receiver: Receiver): void {
    this.#receiver = receiver;
    const early = this.#early;
    this.#early = [];
    for (const data of early) receiver.message(data);
    if (this.#earlyLoss !== undefined) receiver.lost(this.#earlyLoss);
  }

  /** Sends a message. What cannot be sent any more is lost with the connection. */
  send(data: string | ArrayBuffer): void {
    this.#socket.send(data);
  }

  /** Says goodbye, and hears no more. */
  close(code = 1000): void {
    this.#receiver = undefined;
    discard(this.#socket, code);
  }

  #lose(reason: LostError): void {
    discard(this.#socket);
    if (this.#receiver === undefined) this.#earlyLoss = reason;
    else this.#receiver.lost(reason);
  }
}

/** The number of the command that shows a token; others have higher ones. */
const AUTH_ID = 0;

function answer(text: string): Reply | undefined {
  try {
    return parseReply(JSON.parse(text));
  } catch {
    return undefined;
  }
}

interface CloseLike {
  readonly code: number;
  readonly reason: string;
}

function ignore(): void {}

function readHello(data: string | ArrayBuffer): Hello | string {
  if (typeof data !== 'string') return 'the server does not begin with a hello';
  try {
    const reply = parseReply(JSON.parse(data));
    if (reply?.op !== 'hello') return 'the server does not begin with a hello';
    return reply.hello.version === PROTOCOL_VERSION ? reply.hello : 'the server speaks another version';
  } catch {
    return 'the server does not begin with a hello';
  }
}

function lost(event: CloseLike): LostError {
  if (event.code === 1006) return new LostError('broken', 'the connection broke');
  return new LostError('closed', `closed with ${event.code} (${event.reason})`, event.code);
}

function discard(socket: WebSocketLike, code?: number): void {
  socket.onopen = socket.onmessage = socket.onclose = null;
  // Sockets of `ws` throw an error that nobody listens to.
  socket.onerror = ignore;
  try {
    if (code === undefined) socket.close();
    else socket.close(code);
  } catch {
    // It was not open yet, or is closed already.
  }
}
