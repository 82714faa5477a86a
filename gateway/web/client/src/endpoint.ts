// The endpoint: a gateway's address as WebSocket constructors of every age take it.

import { ConnectError } from './error.ts';

/** The path of the stream, where a URL has none. */
const PATH = '/v1/stream';

/**
 * The address of a stream. In a page it may be relative; `http` and `https` stand for `ws` and `wss`.
 *
 * @throws ConnectError
 */
export function endpoint(url: string): string {
  const base = (globalThis as { location?: { href: string } }).location?.href;
  const expected = `${url}: expected ws://HOST:PORT${PATH} or wss://HOST:PORT${PATH}`;
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch (error) {
    throw new ConnectError('url', expected, error);
  }
  if (parsed.protocol === 'http:') parsed.protocol = 'ws:';
  if (parsed.protocol === 'https:') parsed.protocol = 'wss:';
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') throw new ConnectError('url', expected);
  if (parsed.pathname === '/') parsed.pathname = PATH;
  return parsed.href;
}
