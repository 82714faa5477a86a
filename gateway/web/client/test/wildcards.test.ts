// Wildcards of more instruments than one command may name: they go on where they were, too.

import { expect, it } from 'vitest';

import { terms, type Subscribe } from '../src/registry.ts';
import { divide } from '../src/resume.ts';
import { open, Witness } from './support/client.ts';
import { Gateway, until } from './support/process.ts';
import { Proxy } from './support/proxy.ts';

const INSTRUMENTS = 2_500;
const PULSE = ['--source', 'pulse', '--symbols', String(INSTRUMENTS), '--rate', '5000'];

it('are resumed by several commands, without a lost or doubled event', async () => {
  const gateway = await Gateway.start(PULSE);
  const proxy = await Proxy.before(gateway.port);
  const client = open(proxy.url);
  const witness = new Witness(client);
  // One instrument is wanted by name, too, on terms of its own.
  await client.subscribe('S7.quote', { mode: 'conflate', maxRate: 5 });
  await client.subscribe('*.quote');
  const all = () => Object.keys(client.position().topics).length === INSTRUMENTS;
  await until('all instruments', all);
  for (let round = 0; round < 3; round++) {
    const { delivered } = witness.ledger.total();
    proxy.cut();
    await until('the loss', () => client.statistics.reconnects > round);
    await until('all instruments several times', () => witness.ledger.total().delivered > delivered + 3 * INSTRUMENTS);
  }
  expect(client.statistics.reconnects).toBe(3);
  expect(new Set(witness.gaps.filter((gap) => !gap.startsWith('S7.')))).toEqual(new Set());
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(client.statistics.lost).toBe(0);
  const listed = async () => (await client.list()).map(({ topic, mode, maxRate }) => `${topic} ${mode} ${maxRate ?? ''}`).sort();
  await until('what was only for the resume to end', async () => (await listed()).length === 2);
  expect(await listed()).toEqual(['*.quote every ', 'S7.quote conflate 5']);
});

it('change their terms, and nothing is lost by that', async () => {
  const gateway = await Gateway.start(PULSE);
  const client = open(gateway.url);
  const witness = new Witness(client);
  client.watch('*.quote', () => {});
  await until('all instruments', () => Object.keys(client.position().topics).length === INSTRUMENTS);
  client.limitRate(1);
  await until('slower terms', async () => (await client.list()).some(({ maxRate }) => maxRate === 1));
  await until('quotes to be left out', () => client.statistics.conflated > 0);
  client.limitRate();
  await until('terms as before', async () => {
    const list = await client.list();
    return list.length === 1 && list[0]!.maxRate === undefined;
  });
  const { delivered } = witness.ledger.total();
  await until('all instruments several times', () => witness.ledger.total().delivered > delivered + 3 * INSTRUMENTS);
  expect(witness.faults()).toEqual(Witness.NO_FAULTS);
  expect(client.statistics.lost, 'what was between is conflated, not lost').toBe(0);
  expect(client.statistics.conflated).toBeGreaterThan(0);
});

it('are divided so that each command names what it may', () => {
  const topics = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`S${i}.quote`, String(i)]));
  const command: Subscribe = { topics: ['*.quote', 'S3.quote'], terms: terms({}), resume: { epoch: '7', topics: { ...topics, 'S1.trade': '9' } } };
  const { command: main, byName } = divide(command, 10, (topic) => topic === 'S4.quote');
  expect(main.topics).toEqual(command.topics);
  expect(Object.keys(main.resume!.topics)).toEqual(['S3', 'S0', 'S1', 'S2', 'S5', 'S6', 'S7', 'S8', 'S9', 'S10'].map((symbol) => `${symbol}.quote`));
  expect(byName.map(({ topics }) => topics.length)).toEqual([10, 4]);
  for (const part of byName) expect(Object.keys(part.resume!.topics)).toEqual(part.topics);
  const named = [...Object.keys(main.resume!.topics), ...byName.flatMap(({ topics }) => topics)];
  expect(new Set(named).size, 'all but the one that is subscribed by name anyway, each once').toBe(24);
  expect(named).not.toContain('S1.trade');
  const small = { ...command, resume: { epoch: '7', topics: { 'S1.quote': '1' } } };
  expect(divide(small, 10, () => false)).toEqual({ command: small, byName: [] });
});
