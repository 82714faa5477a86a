// What would be published: the right files and no others, entries that resolve, types that a strict consumer can use.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { run } from './support/command.ts';

const CLIENT = resolve(import.meta.dirname, '..');
const MODULES = resolve(CLIENT, '../node_modules');

const CONSUMER = `
  import { Client, formatDecimal, type Quote } from '@tickcast/client';
  export function prices(client: Client, quote: Quote): string[] {
    client.watch(['A.quote', 'A.trade'], (event) => event.type === 'trade' ? event.price : event.type);
    // @ts-expect-error: a topic of quotes has no trades.
    client.watch('A.quote', (event) => event.type === 'trade');
    return [quote.bidPrice, formatDecimal(quote.bidPriceMantissa, quote.instrument.priceExponent)];
  }
`;

const REACTIVE = `
  import type { Client } from '@tickcast/client';
  import { streams } from '@tickcast/client/rxjs';
  export const subscribe = (client: Client) => streams(client).quotes$('BTCUSDT').subscribe((quote) => quote.bidPrice.length);
`;

it('is complete, and nothing else', async () => {
  const folder = mkdtempSync(`${tmpdir()}/tickcast-pack-`);
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], CLIENT);
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  const sources = readdirSync(`${CLIENT}/src`).map((file) => file.replace(/\.ts$/, ''));
  const expected = sources.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
  expect(files.map(({ path }) => path).sort()).toEqual([...expected, 'LICENSE', 'README.md', 'package.json'].sort());

  // As it would be installed, beside the peer.
  const installed = `${folder}/node_modules/@tickcast/client`;
  mkdirSync(installed, { recursive: true });
  await run('tar', ['-xzf', `${folder}/${filename}`, '--strip-components=1', '-C', installed]);
  symlinkSync(`${MODULES}/rxjs`, `${folder}/node_modules/rxjs`);
  writeFileSync(`${folder}/package.json`, '{"type":"module"}');
  const script = `
    const [client, rxjs] = await Promise.all([import('@tickcast/client'), import('@tickcast/client/rxjs')]);
    const hidden = await import('@tickcast/client/dist/sbe.js').catch((error) => error.code);
    console.log(Object.keys(client).sort().join(), Object.keys(rxjs).join(), hidden);
  `;
  writeFileSync(`${folder}/script.js`, script);
  expect(await run(process.execPath, ['script.js'], folder)).toBe(
    'Book,CHANNELS,Client,CommandError,ConnectError,ERROR_CODES,EndedError,EventStream,Instrument,Ledger,LostError,RefusedError,'
    + 'TickcastError,decimalToNumber,formatDecimal,isExact,owned,parseDecimal,topicOf streams ERR_PACKAGE_PATH_NOT_EXPORTED\n',
  );

  writeFileSync(`${folder}/consumer.ts`, CONSUMER);
  writeFileSync(`${folder}/reactive.ts`, REACTIVE);
  // The core's types need neither the DOM's nor Node's; RxJS's own need timers.
  const consumers = [['consumer.ts', ['es2022']], ['reactive.ts', ['es2022', 'dom']]] as const;
  for (const [file, lib] of consumers) {
    for (const [module, moduleResolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
      const compilerOptions = { strict: true, noEmit: true, target: 'es2022', lib, types: [], module, moduleResolution };
      writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions, files: [file] }));
      await run(`${MODULES}/.bin/tsc`, ['-p', folder]);
    }
  }
});
