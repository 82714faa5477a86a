// The built package in real Chromium, in a page and in a worker, under faults; hidden, and frozen as by a laptop's sleep.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';

import { openPage } from './support/chromium.ts';
import { feed, Gateway, sleep, until } from './support/process.ts';
import { Proxy } from './support/proxy.ts';

/** What a page says of itself. */
interface Report {
  readonly state: string;
  readonly trades: number;
  readonly twice: number;
  readonly account: { missing: number; repeated: number; lost: number; resets: number; delivered: number };
  readonly reasons: string[];
  readonly refused: string[];
  readonly reconnects: number;
  readonly list: string[];
}

/** Runs a client and answers `report()`. It runs in a page or in a worker. */
const WITNESS = `
  import { Client, Ledger } from '/dist/index.js';

  export function witness(url, topics, options) {
    const client = new Client(url, { reconnect: { minMs: 20, maxMs: 200 }, connectTimeoutMs: 5000, ...options });
    const ledger = new Ledger();
    const seen = new Set();
    const [reasons, refused] = [[], []];
    let [trades, twice] = [0, 0];
    client.on('event', (event) => {
      ledger.enter(event);
      if (event.type === 'trade') {
        trades += 1;
        const key = event.symbol + ' ' + event.seq;
        if (seen.has(key)) twice += 1;
        seen.add(key);
      }
      if (event.type === 'disconnected') reasons.push(event.reason.kind);
      if (event.type === 'refused') refused.push(event.topic);
    });
    client.watch(topics, () => {});
    const report = async () => {
      const list = client.state === 'connected' ? await client.list().catch(() => []) : [];
      return {
        state: client.state, trades, twice, account: ledger.total(), reasons, refused,
        reconnects: client.statistics.reconnects,
        list: list.map(({ topic, maxRate }) => topic + ' ' + (maxRate ?? '')).sort(),
      };
    };
    return { client, report };
  }
`;

const PAGE = `
  import { witness } from '/witness.js';
  globalThis.begin = (url, topics, options) => { globalThis.subject = witness(url, topics, options); };
`;

const WORKER_PAGE = `
  const worker = new Worker('/worker.js', { type: 'module' });
  const ask = (question) => new Promise((done) => {
    worker.addEventListener('message', ({ data }) => done(data), { once: true });
    worker.postMessage(question);
  });
  globalThis.begin = (...begin) => ask({ begin });
  globalThis.subject = { report: () => ask({}) };
`;

const WORKER = `
  import { witness } from '/witness.js';
  let subject;
  addEventListener('message', async ({ data }) => {
    if (data.begin) subject = witness(...data.begin);
    postMessage(await subject.report());
  });
`;

const FILES = { '/witness.js': WITNESS, '/worker.js': WORKER };

async function begin(page: Page, url: string, topics: string[], options: object = {}): Promise<void> {
  await page.waitForFunction('globalThis.begin !== undefined');
  await page.evaluate(`begin(${JSON.stringify(url)}, ${JSON.stringify(topics)}, ${JSON.stringify(options)})`);
}

function report(page: Page): Promise<Report> {
  return page.evaluate('subject.report()');
}

/** Waits for so many more trades. */
async function more(page: Page, count: number): Promise<Report> {
  const { trades } = await report(page);
  return until(`${count} more trades`, async () => {
    const now = await report(page);
    return now.trades >= trades + count && now;
  });
}

/** No trade is lost or comes twice, and all numbers are accounted for. */
function expectAll({ account, refused, twice }: Report): void {
  expect({ ...account, delivered: 0, conflated: 0, refused, twice }).toEqual({
    delivered: 0, conflated: 0, lost: 0, resets: 0, missing: 0, repeated: 0, refused: [], twice: 0,
  });
}

it.each([['a page', PAGE], ['a worker', WORKER_PAGE]])('in %s survives cuts and a killed gateway', async (_, script) => {
  const source = await feed(['--symbols', '4', '--seed', '21', '--rate', '2000', '--ring-capacity', '65536']);
  let gateway = await Gateway.start(['--source', source, '--heartbeat', '500ms']);
  const proxy = await Proxy.before(gateway.port);
  const page = await openPage(script, FILES);
  await begin(page, proxy.url, ['*.trade', 'BTCUSDT.quote']);
  await more(page, 50);
  proxy.cut();
  await more(page, 50);
  await gateway.process.kill();
  gateway = await Gateway.start(['--source', source, '--heartbeat', '500ms'], gateway.port);
  await more(page, 50);
  proxy.stall();
  await until('the loss', async () => (await report(page)).reasons.includes('silent'));
  proxy.heal();
  const last = await more(page, 50);
  expectAll(last);
  expect(last.reconnects).toBeGreaterThanOrEqual(3);
});

it('throttles a hidden page, and loses nothing by it', async () => {
  const gateway = await Gateway.start(['--source', 'sim', '--symbols', '4', '--rate', '5000']);
  const page = await openPage(PAGE, FILES);
  await begin(page, gateway.url, ['*.trade', 'BTCUSDT.quote'], { hidden: { maxRate: 2, afterMs: 50 } });
  await more(page, 50);
  const show = (state: string) => page.evaluate(`
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => '${state}' });
    document.dispatchEvent(new Event('visibilitychange'));
  `);
  await show('hidden');
  const listed = (expected: string) => until(expected, async () => (await report(page)).list.join() === expected);
  await listed('*.trade 2,BTCUSDT.quote 2');
  await more(page, 50);
  await show('visible');
  await listed('*.trade ,BTCUSDT.quote ');
  const last = await more(page, 50);
  expectAll(last);
  expect(last.reconnects).toBe(0);
});

it('goes on after the page was frozen', async () => {
  const source = await feed(['--symbols', '4', '--seed', '3', '--rate', '2000', '--ring-capacity', '65536']);
  const gateway = await Gateway.start(['--source', source, '--heartbeat', '300ms']);
  const proxy = await Proxy.before(gateway.port);
  const page = await openPage(PAGE, FILES);
  await begin(page, proxy.url, ['*.trade']);
  await more(page, 50);
  const session = await page.context().newCDPSession(page);
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await sleep(2_000);
  // The network goes away meanwhile, and nobody tells the page.
  proxy.stall();
  await sleep(1_000);
  proxy.heal();
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  const last = await more(page, 50);
  expectAll(last);
  expect(last.reconnects).toBeGreaterThanOrEqual(1);
});
