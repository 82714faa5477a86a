// The server's replies, as far as the client reads them. Unknown fields are of later versions.

import { RefusedError } from './error.ts';

/** What a connection begins with. */
export interface Hello {
  readonly version: number;
  readonly encoding: string;
  readonly schemaVersion: number;
  /** The feed's; 0: there is no feed yet. */
  readonly epoch: bigint;
  readonly heartbeatMs: number;
  /** Of a gateway that asks for credentials: whether they are still to be shown, or came with the request. */
  readonly auth?: 'required' | 'accepted';
  readonly limits: Limits;
}

/** The limits of a connection. */
export interface Limits {
  readonly commandBytes: number;
  readonly topicsPerCommand: number;
  readonly subscriptions: number;
  readonly commandsPerSecond: number;
  readonly maxRate: number;
  /** Only where somebody may publish. */
  readonly ticksPerPublish?: number;
  readonly publishRate?: number;
  readonly publishInFlight?: number;
}

/** What became of one topic, or one tick, of a command. */
export interface TopicResult {
  readonly topic: string;
  readonly ok: boolean;
  /** Of a subscription: where the topic stands; wildcards have none. Of a published tick: its number. */
  readonly seq?: string;
  /** Why not. */
  readonly refusal?: RefusedError;
}

/** A subscription that the server has. */
export interface Listing {
  readonly topic: string;
  readonly mode: Mode;
  readonly maxRate?: number;
  readonly seq?: string;
}

/** `every` update to a client that keeps up; or, of those due at once, the newest or merged changes. */
export type Mode = 'every' | 'conflate';

export type Reply =
  | { readonly op: 'hello'; readonly hello: Hello }
  | { readonly op: 'ack'; readonly id: number | undefined; readonly results: readonly TopicResult[] }
  | { readonly op: 'list'; readonly id: number | undefined; readonly topics: readonly Listing[] }
  | { readonly op: 'pong'; readonly id: number | undefined }
  | { readonly op: 'error'; readonly id: number | undefined; readonly refusal: RefusedError }
  | { readonly op: 'expiring'; readonly id: undefined; readonly inMs: number }
  | { readonly op: 'revoked'; readonly id: undefined; readonly topics: readonly string[]; readonly narrowed: readonly string[] }
  | { readonly op: 'unknown'; readonly id: undefined };

type Fields = Record<string, unknown>;

/** Reads a reply; none if it is none. */
export function parseReply(value: unknown): Reply | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const fields = value as Fields;
  const id = typeof fields['id'] === 'number' ? fields['id'] : undefined;
  switch (fields['op']) {
    case 'hello':
      return { op: 'hello', hello: hello(fields) };
    case 'ack':
      return { op: 'ack', id, results: list(fields['results']).map(topicResult) };
    case 'list':
      return { op: 'list', id, topics: list(fields['topics']).map(listing) };
    case 'pong':
      return { op: 'pong', id };
    case 'error':
      return { op: 'error', id, refusal: refusal(fields) };
    case 'expiring':
      return { op: 'expiring', id: undefined, inMs: Number(fields['in_ms'] ?? 0) };
    case 'revoked':
      return { op: 'revoked', id: undefined, topics: texts(fields['topics']), narrowed: texts(fields['narrowed']) };
    default:
      return typeof fields['op'] === 'string' ? { op: 'unknown', id: undefined } : undefined;
  }
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value as Fields[] : [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function hello(fields: Fields): Hello {
  const limits = (fields['limits'] ?? {}) as Record<string, number | undefined>;
  const optional = (name: string, value: number | undefined) => (value === undefined ? {} : { [name]: value });
  return {
    version: Number(fields['version']),
    encoding: String(fields['encoding']),
    schemaVersion: Number(fields['schema_version']),
    epoch: BigInt(String(fields['epoch'] ?? '0')),
    heartbeatMs: Number(fields['heartbeat_ms'] ?? 5_000),
    ...(fields['auth'] === 'required' || fields['auth'] === 'accepted' ? { auth: fields['auth'] } : {}),
    limits: {
      commandBytes: limits['command_bytes'] ?? 131_072,
      topicsPerCommand: limits['topics_per_command'] ?? 1_000,
      subscriptions: limits['subscriptions'] ?? Infinity,
      commandsPerSecond: limits['commands_per_second'] ?? 50,
      maxRate: limits['max_rate'] ?? 1_000,
      ...optional('ticksPerPublish', limits['ticks_per_publish']),
      ...optional('publishRate', limits['publish_rate']),
      ...optional('publishInFlight', limits['publish_in_flight']),
    },
  };
}

function refusal(fields: Fields): RefusedError {
  return new RefusedError(Number(fields['code'] ?? 0), String(fields['name'] ?? ''), String(fields['msg'] ?? ''));
}

function seq(fields: Fields): { seq?: string } {
  return fields['seq'] === undefined || fields['seq'] === null ? {} : { seq: String(fields['seq']) };
}

function topicResult(fields: Fields): TopicResult {
  const topic = String(fields['topic']);
  if (fields['ok'] === true) return { topic, ok: true, ...seq(fields) };
  return { topic, ok: false, refusal: refusal(fields) };
}

function listing(fields: Fields): Listing {
  const rate = fields['max_rate'];
  return {
    topic: String(fields['topic']),
    mode: fields['mode'] === 'conflate' ? 'conflate' : 'every',
    ...(typeof rate === 'number' ? { maxRate: rate } : {}),
    ...seq(fields),
  };
}
