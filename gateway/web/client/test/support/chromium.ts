// A real Chromium, and pages that are served to it with the strictest policy under which the package is to work.

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, resolve } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';

/** How long a browser may take to begin, and a page to show something: machines are shared. */
export const PATIENCE_MS = 120_000;

const DIST = resolve(import.meta.dirname, '../../dist');

/** No host but this one: without these it looks for others at every start. */
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const TYPES: Record<string, string> = { '.js': 'text/javascript', '.html': 'text/html; charset=utf-8' };

const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src *; base-uri 'none'";

/** Starts one. */
export function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    throw new Error(`${executablePath} is missing: install Chromium (Debian: chromium), or set CHROMIUM to its path`);
  }
  return chromium.launch({ executablePath, args: FLAGS, timeout: PATIENCE_MS });
}

/** Opens a page that runs this module. `/dist/` is the built package, `files` are served beside it. */
export async function openPage(script: string, files: Record<string, string> = {}): Promise<Page> {
  if (!existsSync(`${DIST}/index.js`)) throw new Error('dist is not built: run `npm run build`');
  const served: Record<string, string> = {
    '/': '<!doctype html><title>test</title><script type="module" src="/page.js"></script>',
    '/page.js': script,
    ...files,
  };
  const server = createServer((request, response) => {
    const path = request.url!.split('?')[0]!;
    const file = resolve(DIST, `.${path.replace(/^\/dist/, '')}`);
    const body = served[path]
      ?? (path.startsWith('/dist/') && file.startsWith(`${DIST}/`) && existsSync(file) ? readFileSync(file) : undefined);
    const type = path === '/' ? '.html' : extname(path);
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': TYPES[type] ?? 'text/plain', 'content-security-policy': POLICY,
    });
    response.end(body);
  });
  await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done); });
  onTestFinished(() => { server.close(); });

  const browser = await launch();
  onTestFinished(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => { throw error; });
  await page.goto(`http://127.0.0.1:${(server.address() as { port: number }).port}/`);
  return page;
}
