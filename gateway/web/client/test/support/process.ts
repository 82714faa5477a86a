// Real processes under test: gateways and feeds on free ports, ended with the test.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { onTestFinished } from 'vitest';

/** How long anything may take to come up. Generous: machines are shared. */
const PATIENCE_MS = 60_000;

const ROOT = resolve(import.meta.dirname, '../../../../..');

/** A binary of the workspace, by the folder that TICKCAST_BIN_DIR names, or where cargo puts it. */
function binary(name: string): string {
  const folders = [
    process.env['TICKCAST_BIN_DIR'],
    process.env['CARGO_TARGET_DIR'] && `${process.env['CARGO_TARGET_DIR']}/debug`,
    `${ROOT}/target/debug`,
  ].filter((folder) => folder !== undefined && folder !== '');
  const found = folders.map((folder) => resolve(folder!, name)).find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(`${name} is in none of ${folders.join(', ')}: run \`cargo build -p gateway -p feed-sim\`, `
      + 'or set TICKCAST_BIN_DIR to the folder of the binaries');
  }
  return found;
}

/** Waits until the probe gives something. */
export async function until<T>(what: string, probe: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`);
    await sleep(10);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => { setTimeout(done, ms); });
}

/** Ports below those that the system gives to whoever connects or asks for any: a free one stays free for who waits to take it. */
const [FIRST_PORT, PORTS] = [20_000, 12_000];
let portsGiven = 0;

/** A port that nothing listens on, given out once by this process. Processes begin at different places. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + (process.pid * 97 + portsGiven++) % PORTS;
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => { server.close(() => done(true)); });
  });
}

/** Whether a thread's line in /proc says that it is stopped; one that is gone is. The name, which may have anything in it, is in parentheses. */
function isStopped(stat: string): boolean {
  try {
    return readFileSync(stat, 'utf8').split(') ').at(-1)!.startsWith('T');
  } catch {
    return true;
  }
}

/** Has a process do nothing, and waits until it does: a thread that runs goes on until the kernel looks at it again. */
export async function stall(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const threads = () => readdirSync(`/proc/${pid}/task`).every((task) => isStopped(`/proc/${pid}/task/${task}/stat`));
  await until('all threads to stop', threads);
}

/** A child process whose standard error is kept, and which is killed with the test. */
export class Process {
  readonly child: ChildProcess;
  log = '';

  /** One of the workspace's binaries, or with `installed` a program of the system. */
  constructor(name: string, args: readonly string[], from: 'workspace' | 'installed' = 'workspace') {
    const path = from === 'workspace' ? binary(name) : name;
    // Debian keeps servers where only administrators look.
    const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/local/sbin:/usr/sbin:/sbin` };
    this.child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
    this.child.on('error', (error) => { this.log += `${name} cannot be run: ${error.message}\n`; });
    this.child.stderr!.on('data', (bytes: Buffer) => { this.log += bytes.toString(); });
    onTestFinished(() => this.kill());
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const gone = new Promise((done) => { this.child.once('exit', done); });
    this.child.kill('SIGKILL');
    await gone;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

/** A gateway. */
export class Gateway {
  readonly process: Process;
  readonly port: number;
  readonly adminPort: number;

  private constructor(process: Process, port: number, adminPort: number) {
    this.process = process;
    this.port = port;
    this.adminPort = adminPort;
  }

  get url(): string { return `ws://127.0.0.1:${this.port}/v1/stream`; }

  /** Starts a gateway with these arguments and waits until it is ready, or, if it has no feed to wait for, alive. */
  static async start(args: readonly string[], at?: number, awaited: 'with-feed' | 'without-feed' = 'with-feed'): Promise<Gateway> {
    const probe = awaited === 'with-feed' ? 'readyz' : 'healthz';
    const port = at ?? await freePort();
    const adminPort = await freePort();
    const process = new Process('gateway', [
      '--listen', `127.0.0.1:${port}`, '--admin-listen', `127.0.0.1:${adminPort}`, '--shards', '1', ...args,
    ]);
    const gateway = new Gateway(process, port, adminPort);
    await until('a ready gateway', async () => {
      if (!process.isRunning) throw new Error(`the gateway ended:\n${process.log}`);
      try {
        return (await fetch(`http://127.0.0.1:${adminPort}/${probe}`)).status === 200;
      } catch {
        return false;
      }
    });
    return gateway;
  }

  /** What the gateway has of an instrument now. */
  async snapshot(symbol: string): Promise<unknown> {
    return (await fetch(`http://127.0.0.1:${this.port}/v1/snapshot?symbol=${symbol}`)).json();
  }
}

/** A feed in a process of its own, which writes into a ring in shared memory. */
export async function feed(args: readonly string[]): Promise<string> {
  const path = `/dev/shm/tickcast-test-web-${process.pid}-${Math.random().toString(36).slice(2)}`;
  onTestFinished(() => rmSync(path, { force: true }));
  new Process('feed-sim', ['--out', `shm:${path}`, ...args]);
  await until("the ring's file", () => existsSync(path));
  return `shm:${path}`;
}
