// How a client behaves: one value, given once. Times are in milliseconds.

import { ConnectError } from './error.ts';

/** What a client does when its connection is lost. */
export interface ReconnectOptions {
  /** Bound of the first pause. 250 if not given. */
  readonly minMs?: number;
  /** Bound of every later one. 30,000 if not given. */
  readonly maxMs?: number;
  /** How often at most in one outage. Without end if not given. */
  readonly attempts?: number;
}

/** What is done while the page is hidden. */
export interface HiddenOptions {
  /** Every topic at most so many times a second; trades are not merged, they come together. 1 if not given. */
  readonly maxRate?: number;
  /** How long the page has to be hidden first. 5,000 if not given. */
  readonly afterMs?: number;
}

/** How to connect and to go on. */
export interface ClientOptions {
  /** `sbe`: binary, a quarter of the bytes, decoded without garbage. `json`: readable on the wire. `sbe` if not given. */
  readonly encoding?: 'sbe' | 'json';
  /** What to do when the connection is lost; `never`: end. */
  readonly reconnect?: ReconnectOptions | 'never';
  /** How long a connect may take, up to the server's hello. 10,000 if not given. */
  readonly connectTimeoutMs?: number;
  /** How long to wait for the answer to a command, an outage included. 10,000 if not given. */
  readonly commandTimeoutMs?: number;
  /** After how much silence the peer is taken for dead. Twice the announced heartbeat interval if not given. */
  readonly silenceMaxMs?: number;
  /** What to do while the page is hidden, where there is a page; `keep`: nothing. Throttled if not given. */
  readonly hidden?: HiddenOptions | 'keep';
  /**
   * What a gateway that asks for credentials is shown: a token, or what gives one. That is asked again for each connection, and
   * before a token expires: then the new one is shown on the same connection.
   */
  readonly token?: string | TokenSource;
  /** The WebSocket to use, where there is no global one (Node before 22) or another is wanted, such as that of `ws`. */
  readonly webSocket?: WebSocketConstructor;
}

/** Gives a token: the one there is, or a new one. */
export type TokenSource = () => string | Promise<string>;

/** What there is of a WebSocket in browsers, workers, Node and the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string | ArrayBuffer): void;
  close(code?: number, reason?: string): void;
}

// The libraries' handlers differ in types, not in what they are given.
// oxlint-disable-next-line typescript/no-explicit-any
export type WebSocketConstructor = new (url: string, protocols: string[]) => any;

/** All options, with what was not given. */
export interface Settings {
  readonly encoding: 'sbe' | 'json';
  readonly reconnect: Required<ReconnectOptions> | 'never';
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly silenceMaxMs: number | undefined;
  readonly hidden: Required<HiddenOptions> | 'keep';
  readonly token: string | TokenSource | undefined;
  readonly webSocket: WebSocketConstructor;
}

/**
 * @throws TypeError or RangeError if a value cannot be meant
 * @throws ConnectError if there is no WebSocket here
 */
export function settings(options: ClientOptions): Settings {
  const { reconnect = {}, hidden = {}, encoding = 'sbe' } = options;
  if (encoding !== 'sbe' && encoding !== 'json') throw new TypeError(`encoding: expected 'sbe' or 'json', found ${shown(encoding)}`);
  const given: unknown = options.webSocket ?? (globalThis as { WebSocket?: unknown }).WebSocket;
  if (given === undefined) {
    throw new ConnectError('unsupported', 'there is no global WebSocket: hand in a constructor as the option webSocket');
  }
  if (typeof given !== 'function') throw new TypeError('webSocket: expected a constructor');
  return {
    encoding,
    reconnect: reconnect === 'never' ? 'never' : {
      minMs: atLeast(0, 'reconnect.minMs', reconnect.minMs ?? 250),
      maxMs: atLeast(0, 'reconnect.maxMs', reconnect.maxMs ?? 30_000),
      attempts: atLeast(0, 'reconnect.attempts', reconnect.attempts ?? Infinity),
    },
    connectTimeoutMs: atLeast(1, 'connectTimeoutMs', options.connectTimeoutMs ?? 10_000),
    commandTimeoutMs: atLeast(1, 'commandTimeoutMs', options.commandTimeoutMs ?? 10_000),
    silenceMaxMs: options.silenceMaxMs === undefined ? undefined : atLeast(1, 'silenceMaxMs', options.silenceMaxMs),
    hidden: hidden === 'keep' ? 'keep' : {
      maxRate: rate('hidden.maxRate', hidden.maxRate ?? 1),
      afterMs: atLeast(0, 'hidden.afterMs', hidden.afterMs ?? 5_000),
    },
    token: token(options.token),
    webSocket: given as WebSocketConstructor,
  };
}

function token(value: unknown): string | TokenSource | undefined {
  if (value === undefined || typeof value === 'function' || (typeof value === 'string' && value !== '')) {
    return value as string | TokenSource | undefined;
  }
  // Never shown: it may be one in a wrong wrapping.
  throw new TypeError('token: expected a text that is not empty, or a function that gives one');
}

/** Deliveries a second: the protocol has whole numbers from 1. */
export function rate(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name}: expected a whole number of 1 or more, found ${shown(value)}`);
  return value;
}

function atLeast(least: number, name: string, value: number): number {
  // Not a number is not at least anything.
  if (typeof value !== 'number' || !(value >= least)) throw new RangeError(`${name}: expected a number of ${least} or more, found ${shown(value)}`);
  return value;
}

/** A value as an error names it. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}
