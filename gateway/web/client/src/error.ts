// What can go wrong, in types: one class per boundary, with a `kind` or a `code` to decide by.

/** The protocol's error codes by name. */
export const ERROR_CODES = {
  malformed: 1,
  too_long: 2,
  unknown_op: 3,
  bad_field: 4,
  too_many_topics: 5,
  too_many_commands: 6,
  not_entitled: 7,
  too_many_ticks: 8,
  too_fast: 9,
  busy: 10,
  bad_topic: 20,
  unknown_instrument: 21,
  unknown_channel: 22,
  not_subscribed: 23,
  too_many_subscriptions: 24,
  resume_ahead: 25,
  unavailable: 26,
  not_publishable: 27,
  uncertain: 28,
} as const;

export type ErrorName = keyof typeof ERROR_CODES;

/** All errors of this package. */
export abstract class TickcastError extends Error {
  /** Whether trying again may help. */
  abstract readonly isRetriable: boolean;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Why there is no connection. */
export class ConnectError extends TickcastError {
  /**
   * - `url`: not a WebSocket URL.
   * - `unsupported`: there is no WebSocket here; hand in a constructor.
   * - `failed`: nobody answers, or not with a WebSocket. Browsers tell no more.
   * - `protocol`: it answered, but does not speak this protocol.
   * - `timeout`: it took longer than `connectTimeoutMs`.
   * - `closed`: the server closed it at once; `cause` says why.
   * - `auth`: the server asks for a token and there is none, or it takes the one there is for no good one; `cause` says why.
   * - `token`: the option `token` threw; `cause` is what.
   */
  readonly kind: 'url' | 'unsupported' | 'failed' | 'protocol' | 'timeout' | 'closed' | 'auth' | 'token';
  readonly isRetriable: boolean;

  constructor(kind: ConnectError['kind'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.isRetriable = kind === 'closed' && cause instanceof LostError
      ? cause.isRetriable
      : kind === 'failed' || kind === 'timeout' || kind === 'token';
  }
}

/** Why a connection ended. */
export class LostError extends TickcastError {
  /**
   * - `closed`: the server said goodbye, with `code` and text.
   * - `notEntitled`: likewise, because the token expired or was revoked, or none was shown in time (4502).
   * - `replaced`: likewise, because its user has newer connections and may have only so many (4503).
   * - `broken`: it ended without a word.
   * - `silent`: neither data nor a heartbeat came in time.
   * - `protocol`: the server sent what the protocol does not have.
   */
  readonly kind: 'closed' | 'notEntitled' | 'replaced' | 'broken' | 'silent' | 'protocol';
  /** The close code, where the server said goodbye. */
  readonly code: number | undefined;
  readonly isRetriable: boolean;

  constructor(kind: LostError['kind'], message: string, code?: number) {
    super(message);
    this.kind = kind === 'closed' ? CLOSED_KINDS[code ?? 0] ?? kind : kind;
    this.code = code;
    this.isRetriable = kind !== 'closed' || isReconnectCode(code ?? 1005);
  }
}

/** Close codes that a program may want to tell from others. */
const CLOSED_KINDS: Readonly<Record<number, 'notEntitled' | 'replaced'>> = { 4502: 'notEntitled', 4503: 'replaced' };

/** Whether the contract of close codes asks for a reconnect: 4000 to 4499 do, 4500 to 4999 do not. */
export function isReconnectCode(code: number): boolean {
  // 1001: going away; 1005: none given; 1006: none received; 1011 to 1013: the server's own trouble.
  return [1001, 1005, 1006, 1011, 1012, 1013].includes(code) || (code >= 4000 && code < 4500);
}

/** Why a command did not succeed. */
export class CommandError extends TickcastError {
  /**
   * - `disconnected`: the connection was lost before the answer came; whether it was carried out is not known. What was
   *   subscribed before is subscribed again.
   * - `timeout`: no answer within `commandTimeoutMs`, an outage included.
   * - `ended`: the client has ended for good.
   */
  readonly kind: 'disconnected' | 'timeout' | 'ended';
  readonly isRetriable: boolean;

  constructor(kind: CommandError['kind'], message: string) {
    super(message);
    this.kind = kind;
    this.isRetriable = kind !== 'ended';
  }
}

/** The server's no, to a command or to one of its topics. */
export class RefusedError extends TickcastError {
  readonly code: number;
  /** The code's name, as the server says it. */
  readonly codeName: ErrorName | (string & {});
  readonly isRetriable: boolean;

  constructor(code: number, codeName: string, message: string) {
    super(message);
    this.code = code;
    this.codeName = codeName;
    this.isRetriable = code === ERROR_CODES.unavailable || code === ERROR_CODES.busy
      || code === ERROR_CODES.too_many_commands || code === ERROR_CODES.too_fast;
  }
}

/** Why there will be no more events; `cause` has what led to it. */
export class EndedError extends TickcastError {
  /** `closed`: by this client. `lost`: the reason forbids another connection. `reconnect`: none could be had. */
  readonly kind: 'closed' | 'lost' | 'reconnect';
  readonly isRetriable = false;

  constructor(kind: EndedError['kind'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}
