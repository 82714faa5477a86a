// The examples of the README: compiled as strictly as the package, and run as they are written, each in its own process.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { run } from './support/command.ts';
import { Gateway } from './support/process.ts';

const CLIENT = resolve(import.meta.dirname, '..');

/** Lines after which an example has shown what it does, if it does not end by itself. */
const ENOUGH = 5;

/** The port that examples name is the tests' gateway's, and there is a WebSocket as in browsers and newer Nodes. */
const preload = (port: number) => `
  import net from 'node:net';
  import WebSocket from 'ws';
  const { connect } = net;
  net.connect = (options, ...rest) => (
    connect(Number(options.port) === 9443 ? { ...options, host: '127.0.0.1', port: ${port} } : options, ...rest)
  );
  globalThis.WebSocket = WebSocket;
`;

/** What an example prints until it ends, or has shown enough. */
function output(folder: string, name: string): Promise<string[]> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['--import', `${folder}/preload.mjs`, `${folder}/${name}.js`]);
    let [text, errors, isEnough] = ['', '', false];
    child.stderr.on('data', (bytes: Buffer) => { errors += bytes.toString(); });
    child.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (text.split('\n').length <= ENOUGH || isEnough) return;
      isEnough = true;
      child.kill('SIGKILL');
    });
    child.on('exit', (code) => {
      if (isEnough || code === 0) done(text.trimEnd().split('\n'));
      else fail(new Error(`${name} ended with ${code}:\n${text}${errors}`));
    });
  });
}

it('does what it says', async () => {
  const readme = readFileSync(`${CLIENT}/README.md`, 'utf8');
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
  expect(examples.length).toBe(9);
  // Within the package, so that its name and its peers are found.
  const folder = mkdtempSync(`${CLIENT}/.examples-`);
  onTestFinished(() => rmSync(folder, { recursive: true }));
  examples.forEach((code, i) => writeFileSync(`${folder}/example${i}.ts`, code));
  writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ extends: '../tsconfig.json', include: ['*.ts'] }));
  await run(`${CLIENT}/../node_modules/.bin/tsc`, ['-p', folder, '--allowImportingTsExtensions', 'false']);

  const gateway = await Gateway.start(['--source', 'sim', '--rate', '5000']);
  writeFileSync(`${folder}/preload.mjs`, preload(gateway.port));
  const outputs = await Promise.all(examples.map((_, i) => output(folder, `example${i}`)));
  const shown = [
    /^BTCUSDT(\.quote subscribed| \d+\.\d\d \d+\.\d\d)$/, /^[A-Z]+USDT [\d.]+ [\d.]+ 2\d{3}-\d\d-\d\dT/, /^(quote|bar) [\d.]+/,
    /^[\d.]+ [\d.]+ (sold|bought)$/, /^spread 0\.\d\d, last \d+\.\d\d$/, /^[\d.]+ [\d.]+ \| [\d.]+ [\d.]+ \d+ \+ \d+ levels$/,
    /^\d+ topics at most; [\d.]+ ms/, /^BTCUSDT\.depth subscribed$/, /^[A-Z]+USDT \d+$/,
  ];
  outputs.forEach((lines, i) => expect(lines.some((line) => shown[i]!.test(line)), `example ${i}: ${lines.join('\n')}`).toBe(true));
});
