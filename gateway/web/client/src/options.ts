// How a client behaves: one value, given once. Times are in milliseconds.

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
  /** The WebSocket to use, where there is no global one (Node before 22) or another is wanted, such as that of `ws`. */
  readonly webSocket?: WebSocketConstructor;
}

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
  readonly webSocket: WebSocketConstructor | undefined;
}

export function settings(options: ClientOptions): Settings {
  return {
    encoding: options.encoding ?? 'sbe',
    reconnect: options.reconnect === 'never'
      ? 'never'
      : { minMs: 250, maxMs: 30_000, attempts: Infinity, ...options.reconnect },
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    commandTimeoutMs: options.commandTimeoutMs ?? 10_000,
    silenceMaxMs: options.silenceMaxMs,
    hidden: options.hidden === 'keep' ? 'keep' : { maxRate: 1, afterMs: 5_000, ...options.hidden },
    webSocket: options.webSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket,
  };
}
