// Clients under test: with the WebSocket of `ws`, quick to come back, closed with the test.

import WebSocket from 'ws';
import { onTestFinished } from 'vitest';

import { Client } from '../../src/client.ts';
import { isExact, Ledger } from '../../src/ledger.ts';
import type { ClientOptions } from '../../src/options.ts';

const QUICK: ClientOptions = {
  webSocket: WebSocket,
  reconnect: { minMs: 20, maxMs: 200 },
  commandTimeoutMs: 60_000,
  connectTimeoutMs: 30_000,
};

export function open(url: string, options: ClientOptions = {}): Client {
  const client = new Client(url, { ...QUICK, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** Everything that was said of trades, and the account of all topics. */
export class Witness {
  readonly ledger = new Ledger();
  /** `SYMBOL seq` of every trade, in the order of delivery. */
  readonly trades: string[] = [];
  readonly gaps: string[] = [];
  readonly refused: string[] = [];

  constructor(client: Client) {
    client.on('event', (event) => {
      this.ledger.enter(event);
      if (event.type === 'trade') this.trades.push(`${event.symbol} ${event.seq}`);
      if (event.type === 'gap') this.gaps.push(`${event.topic} ${event.reason}`);
      if (event.type === 'refused') this.refused.push(`${event.topic}: ${event.reason.message}`);
    });
  }

  /** What is wrong; nothing should be. */
  faults(): object {
    const twice = this.trades.length - new Set(this.trades).size;
    return { twice, refused: this.refused, isExact: isExact(this.ledger.total()) };
  }

  static readonly NO_FAULTS = { twice: 0, refused: [], isExact: true };
}
