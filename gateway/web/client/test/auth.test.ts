// Tokens: shown to a gateway that asks for them, renewed before they expire, and what happens when they are no good.

import WebSocket from 'ws';
import { expect, it } from 'vitest';

import { Client } from '../src/client.ts';
import { ConnectError, LostError, RefusedError } from '../src/error.ts';
import { Access, KEY, token } from './support/access.ts';
import { open, Witness } from './support/client.ts';
import { Gateway, until } from './support/process.ts';
import { Proxy } from './support/proxy.ts';

const SIM = ['--source', 'sim', '--symbols', '4', '--rate', '2000'];

it('are shown before anything else, on every connection', async () => {
  const gateway = await Gateway.start([...SIM, ...new Access().args]);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url, { token: KEY });
  const witness = new Witness(client);
  client.watch('*.trade', () => {});
  const { auth } = await client.ready();
  expect(auth).toBe('required');
  for (let round = 0; round < 2; round++) {
    const goal = witness.trades.length + 50;
    await until('trades', () => witness.trades.length >= goal);
    proxy.cut();
    // What was under way still arrives.
    await until('the loss', () => client.statistics.reconnects > round);
  }
  const goal = witness.trades.length + 50;
  await until('trades', () => witness.trades.length >= goal);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(client.statistics).toMatchObject({ reconnects: 2, lost: 0 });
});

it('that are missing or wrong end a client with an error that says so', async () => {
  const gateway = await Gateway.start([...SIM, ...new Access().args]);
  const connect = (options: object) => Client.connect(gateway.url, { webSocket: WebSocket, ...options });
  await expect(connect({})).rejects.toMatchObject({
    constructor: ConnectError, kind: 'auth', isRetriable: false, message: 'the gateway asks for a token: give one as the option token',
  });
  for (const wrong of ['nonsense', token(300, 'another secret of more than thirty-two bytes'), token(-10)]) {
    await expect(connect({ token: wrong })).rejects.toMatchObject({
      constructor: ConnectError, kind: 'auth', isRetriable: false, cause: { constructor: RefusedError, codeName: 'not_entitled' },
    });
  }
  await expect(connect({ token: () => Promise.reject(new Error('signed out')) })).rejects.toMatchObject({
    kind: 'token', isRetriable: true, message: 'the option token gave none: signed out',
  });
  expect(() => new Client(gateway.url, { webSocket: WebSocket, token: '' })).toThrow('token: expected a text that is not empty');
  const client = await connect({ token: async () => token(300) });
  await expect(client.auth('nonsense')).rejects.toMatchObject({ codeName: 'not_entitled' });
  expect((await client.subscribe('BTCUSDT.quote'))[0]!.ok, 'the one that was good still is').toBe(true);
  client.close();
});

it('are asked for again before they expire, and the connection stays', async () => {
  const gateway = await Gateway.start([...SIM, ...new Access().args]);
  let asked = 0;
  let failed = 0;
  const client = open(gateway.url, {
    token: async () => {
      asked += 1;
      // Once the issuer has a bad moment.
      if (asked === 3 && ++failed) throw new Error('busy');
      return token(8);
    },
  });
  const witness = new Witness(client);
  let expiring = 0;
  client.on('expiring', ({ inMs }) => {
    expect(inMs).toBeGreaterThan(0);
    expiring += 1;
  });
  // Who is told a second and a half before, and does not run meanwhile, is late through no fault of its own: then it begins anew.
  client.on('disconnected', () => { expiring = 0; });
  client.watch('*.trade', () => {});
  await until('two renewals on one connection', () => expiring >= 3 && asked >= 4);
  const goal = witness.trades.length + 50;
  await until('trades', () => witness.trades.length >= goal);
  expect(failed).toBe(1);
  expect(client.statistics.lost).toBe(0);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
});

it('that expired cost a connection, and no trade, if there is a source of new ones', async () => {
  const gateway = await Gateway.start([...SIM, ...new Access().args]);
  const losses: LostError[] = [];
  // What is given until then is as old as the first. It lives long enough to be shown by who is slow.
  const first = token(12);
  const client = open(gateway.url, { token: () => (losses.length > 0 ? token(300) : first) });
  const fixed = open(gateway.url, { token: first });
  const ended = new Promise<unknown>((done) => { fixed.on('ended', ({ reason }) => done(reason)); });
  const witness = new Witness(client);
  client.on('disconnected', ({ reason }) => losses.push(reason));
  client.watch('*.trade', () => {});
  await until('the loss', () => losses.length > 0);
  expect(losses[0]).toMatchObject({ kind: 'notEntitled', code: 4502, isRetriable: false });
  const goal = witness.trades.length + 50;
  await until('trades', () => witness.trades.length >= goal);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(client.statistics).toMatchObject({ reconnects: 1, lost: 0 });
  expect(await ended).toMatchObject({ kind: 'lost', cause: { constructor: LostError, kind: 'notEntitled', code: 4502 } });
});

it('that allow less than before say which topics end', async () => {
  const access = new Access();
  const gateway = await Gateway.start([...SIM, ...access.args]);
  const client = open(gateway.url, { token: KEY });
  const refused: string[] = [];
  const revoked: string[] = [];
  client.on('refused', ({ topic, reason }) => refused.push(`${topic} ${reason.codeName}`));
  client.on('revoked', ({ topics, narrowed }) => revoked.push(...topics, ...narrowed.map((topic) => `narrowed ${topic}`)));
  let quotes = 0;
  client.watch(['BTCUSDT.trade', 'BTCUSDT.quote', '*.ticker'], ({ type }) => { if (type === 'quote') quotes += 1; });
  await until('quotes', () => quotes > 10);
  access.write(['BTCUSDT.quote', 'ETHUSDT.ticker']);
  gateway.process.signal('SIGHUP');
  await until('what is revoked', () => refused.length > 0);
  expect(refused).toEqual(['BTCUSDT.trade not_entitled']);
  expect(revoked).toEqual(['BTCUSDT.trade', 'narrowed *.ticker']);
  const goal = quotes + 10;
  await until('more quotes', () => quotes >= goal);
  const [result] = await client.subscribe('ETHUSDT.trade');
  expect(result!.refusal).toMatchObject({ codeName: 'not_entitled', isRetriable: false });
});
