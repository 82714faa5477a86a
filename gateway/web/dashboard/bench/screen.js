// Measures the page on a screen: time to the first quote, frames, main thread, memory, ticks counted.
//
//   node bench/screen.js OUT.json --bin DIR [--query '?pace=every&scope=all'] [--seconds 20] [--warm 6] [--trace]
//       [--serve-dist] [--width 1440] [--height 900] -- GATEWAY ARGUMENTS
//
// `--trace` also keeps the raw trace, as OUT.trace.json.gz: the tasks of the page's process, for chrome://tracing or Perfetto.
//
// One gateway, one Chromium, one page; all end with it. `--serve-dist` takes the page from `dist/` and the rest of a gateway
// that has another page, through a pipe of this process.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { cpus, loadavg, totalmem } from 'node:os';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bin: { type: 'string' }, query: { type: 'string', default: '' }, seconds: { type: 'string', default: '20' },
    warm: { type: 'string', default: '6' }, trace: { type: 'boolean' }, 'serve-dist': { type: 'boolean' },
    width: { type: 'string', default: '1440' }, height: { type: 'string', default: '900' }, every: { type: 'string', default: '10' },
  },
});
const [out, ...gatewayArguments] = positionals;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** What is kept of a trace: whole tasks, and what a frame is made of. */
const KEPT = new Set([
  'ThreadControllerImpl::RunTask', 'FunctionCall', 'FireAnimationFrame', 'UpdateLayoutTree', 'Layout', 'PrePaint', 'Paint', 'Layerize', 'Commit',
  'MajorGC', 'MinorGC',
]);
const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

const [listen, admin] = [await freePort(), await freePort()];
const gateway = spawn(join(options.bin, 'gateway'), [
  '--listen', `127.0.0.1:${listen}`, '--admin-listen', `127.0.0.1:${admin}`, '--shards', '1', ...gatewayArguments,
], { stdio: 'ignore' });
process.on('exit', () => gateway.kill());
while ((await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => ({ status: 0 }))).status !== 200) await sleep(50);

const port = options['serve-dist'] ? await serveDist(listen) : listen;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const page = await browser.newPage({ viewport: { width: Number(options.width), height: Number(options.height) } });
await page.addInitScript(() => {
  const look = (nowMs) => {
    window.framesSeen = (window.framesSeen ?? 0) + 1;
    // A frame that came more than a frame and a half late was seen as one.
    if (window.frameBeforeMs !== undefined) window.longestMs = Math.max(window.longestMs ?? 0, nowMs - window.frameBeforeMs);
    window.frameBeforeMs = nowMs;
    if (window.firstQuoteMs === undefined) {
      const cell = [...document.querySelectorAll('.rows [role=gridcell]')].find((one) => /\d/.test(one.textContent));
      if (cell) window.firstQuoteMs = performance.now();
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
const devtools = await page.context().newCDPSession(page);
// Time that the threads ran, not time that passed: the machine may be shared.
await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
await page.goto(`http://127.0.0.1:${port}/${options.query}`);
await page.waitForFunction(() => window.firstQuoteMs !== undefined, null, { timeout: 60_000 });
const firstQuoteMs = await page.evaluate(() => window.firstQuoteMs);
await sleep(Number(options.warm) * 1000);

const trusted = await browser.newBrowserCDPSession();
const renderers = (await trusted.send('SystemInfo.getProcessInfo')).processInfo.filter(({ type }) => type === 'renderer');
// Of several renderers, the page's is the busiest.
const renderer = renderers.sort((a, b) => b.cpuTime - a.cpuTime)[0].id;
await page.evaluate(() => { window.longestMs = 0; });
const before = await sample();
if (options.trace) await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline', 'devtools.timeline'] });
const memory = [];
for (let second = 0; second < Number(options.seconds); second += Number(options.every)) {
  await sleep(Math.min(Number(options.every), Number(options.seconds) - second) * 1000);
  memory.push(await memoryNow());
}
const trace = options.trace ? threads(await browser.stopTracing()) : undefined;
const after = await sample();
await page.screenshot({ path: out.replace(/\.json$/, '.png') });
const seconds = (after.atMs - before.atMs) / 1000;
const record = {
  what: { query: options.query, gateway: gatewayArguments.join(' '), viewport: `${options.width}x${options.height}`, seconds: round(seconds) },
  machine: { cores: cpus().length, model: cpus()[0].model, memoryGB: Math.round(totalmem() / 1e9), load1: round(loadavg()[0]), node: process.version, chromium: browser.version() },
  page: options['serve-dist'] ? 'dist, through a pipe' : 'embedded',
  first_quote_ms: Math.round(firstQuoteMs),
  frames_per_s: round((after.frames - before.frames) / seconds),
  longest_frame_ms: round(after.longestMs),
  main_thread_percent: round((100 * (after.taskS - before.taskS)) / seconds),
  main_script_percent: round((100 * (after.scriptS - before.scriptS)) / seconds),
  main_layout_style_percent: round((100 * (after.layoutS - before.layoutS)) / seconds),
  renderer_cpu_percent: round((100 * (after.cpuS - before.cpuS)) / seconds),
  ticks: after.events - before.events,
  ticks_per_s: Math.round((after.events - before.events) / seconds),
  megabytes_per_s: round((after.bytes - before.bytes) / seconds / 1e6),
  conflated: after.conflated, lost: after.lost,
  memory,
  trace,
};
writeFileSync(out, `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify({ ...record, memory: [memory[0], memory.at(-1)], trace: undefined }, null, 1));
await browser.close();
gateway.kill();
process.exit(0);

async function sample() {
  const { metrics } = await devtools.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  const { data, frames, longestMs } = await page.evaluate(() => ({
    data: { ...document.querySelector('.connection').dataset }, frames: window.framesSeen, longestMs: window.longestMs,
  }));
  const stat = readFileSync(`/proc/${renderer}/stat`, 'utf8').split(' ');
  return {
    atMs: performance.now(), frames, longestMs, taskS: of('TaskDuration'), scriptS: of('ScriptDuration'),
    layoutS: of('LayoutDuration') + of('RecalcStyleDuration'), cpuS: (Number(stat[13]) + Number(stat[14])) / 100,
    events: Number(data.events), bytes: Number(data.bytes), lost: data.lost, conflated: data.conflated,
  };
}

/** The page's heap after a collection, and its process with the worker's heap. */
async function memoryNow() {
  await devtools.send('HeapProfiler.collectGarbage');
  const { usedSize } = await devtools.send('Runtime.getHeapUsage');
  const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${renderer}/status`, 'utf8'))[1]);
  return { at_s: Math.round((performance.now() - before.atMs) / 1000), page_heap_mb: round(usedSize / 1e6), renderer_resident_mb: round(resident / 1e3) };
}

/** How busy each of the renderer's threads was: the sum of its tasks over the trace's span, as time passed and as it ran. */
function threads(buffer) {
  const { traceEvents } = JSON.parse(buffer.toString());
  keep(traceEvents);
  const names = new Map(traceEvents.filter(({ name }) => name === 'thread_name').map(({ pid, tid, args }) => [`${pid} ${tid}`, args.name]));
  const busy = new Map();
  let [first, last] = [Infinity, 0];
  for (const { name, pid, tid, ts, dur, tdur, ph } of traceEvents) {
    if (ph !== 'X' || pid !== renderer || name !== 'ThreadControllerImpl::RunTask') continue;
    first = Math.min(first, ts);
    last = Math.max(last, ts + dur);
    const thread = names.get(`${pid} ${tid}`) ?? String(tid);
    const so = busy.get(thread) ?? { tasks: 0, us: 0, cpuUs: 0, longestUs: 0 };
    busy.set(thread, { tasks: so.tasks + 1, us: so.us + dur, cpuUs: so.cpuUs + (tdur ?? 0), longestUs: Math.max(so.longestUs, dur) });
  }
  const span = last - first;
  return Object.fromEntries([...busy].map(([thread, { tasks, us, cpuUs, longestUs }]) =>
    [thread, { tasks, busy_percent: round((100 * us) / span), cpu_percent: round((100 * cpuUs) / span), longest_ms: round(longestUs / 1000) }]));
}

/** The trace without what is not the page's, and without what says on which machine it was made. */
function keep(traceEvents) {
  const isWanted = ({ ph, pid, name }) => pid === renderer && ((ph === 'M' && name === 'thread_name') || (ph === 'X' && KEPT.has(name)));
  const kept = traceEvents.filter(isWanted).map(({ name, ph, pid, tid, ts, dur, tdur, args }) =>
    (ph === 'M' ? { name, ph, pid, tid, args } : { name, ph, pid, tid, ts, dur, tdur }));
  writeFileSync(out.replace(/\.json$/, '.trace.json.gz'), gzipSync(JSON.stringify({ traceEvents: kept }), { level: 9 }));
}

function round(value) {
  return Math.round(value * 10) / 10;
}

/** The built page in front of a gateway. */
async function serveDist(target) {
  const types = { '.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html; charset=utf-8' };
  const dist = join(import.meta.dirname, '../dist');
  const server = createHttp((incoming, answer) => {
    const path = new URL(incoming.url, 'http://x').pathname;
    const file = join(dist, path === '/' ? 'index.html' : path);
    if (!path.startsWith('/v1/') && existsSync(file)) {
      answer.writeHead(200, { 'content-type': types[extname(file)] ?? 'text/plain', 'content-encoding': 'gzip' });
      return answer.end(readFileSync(`${file}.gz`));
    }
    request({ port: target, host: '127.0.0.1', path: incoming.url }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    }).on('error', () => answer.destroy()).end();
  });
  server.on('upgrade', (incoming, socket, head) => {
    const to = connect(target, '127.0.0.1', () => {
      const headers = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${value}`);
      to.write(`GET ${incoming.url} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
      to.write(head);
      to.pipe(socket);
      socket.pipe(to);
    });
    to.on('error', () => socket.destroy());
    socket.on('error', () => to.destroy());
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return server.address().port;
}
