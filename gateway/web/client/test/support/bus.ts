// Real buses: a nats-server or a redis-server of the test's own, with a feed whose catalog has instruments that clients write.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { onTestFinished } from 'vitest';

import { freePort, Gateway, Process, until } from './process.ts';

/** Starts a bus, and a feed on it with one instrument of its own and two that clients write, C0 and C1. Returns its URL. */
export async function bus(kind: 'nats' | 'redis'): Promise<string> {
  const folder = mkdtempSync(`${tmpdir()}/tickcast-bus-`);
  const port = await freePort();
  const server = kind === 'nats'
    ? new Process('nats-server', ['--addr', '127.0.0.1', '--port', `${port}`, '--jetstream', '--store_dir', folder], 'installed')
    : new Process('redis-server', ['--bind', '127.0.0.1', '--port', `${port}`, '--save', '', '--dir', folder], 'installed');
  onTestFinished(async () => {
    await server.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  await until(`${kind} to listen`, () => {
    if (!server.isRunning || server.log.includes('cannot be run')) throw new Error(`${kind} ended:\n${server.log}`);
    return listens(port);
  });
  const url = `${kind}://127.0.0.1:${port}`;
  new Process('feed-sim', ['--out', url, '--symbols', '1', '--rate', '50', '--published', '2']);
  return url;
}

/** A gateway on a bus, at which anybody may publish to it. */
export function publishing(url: string): Promise<Gateway> {
  return Gateway.start(['--source', url, '--bus', url, '--publish', 'local']);
}

function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => done(true)).on('error', () => done(false));
    socket.on('connect', () => socket.destroy());
  });
}
