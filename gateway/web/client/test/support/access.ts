// A gateway that asks for credentials: its file of roles and keys, and tokens that it takes.

import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { onTestFinished } from 'vitest';

const SECRET = 'a secret of the tests, of more than thirty-two bytes';

/** The key of the role `desk`. */
export const KEY = 'key-of-the-desk-0123456789abcdef';

/** A file that lets its role see this. */
export class Access {
  readonly #folder = mkdtempSync(`${tmpdir()}/tickcast-access-`);

  constructor(see: readonly string[] = ['*.*']) {
    onTestFinished(() => rmSync(this.#folder, { recursive: true }));
    writeFileSync(`${this.#folder}/secret`, SECRET, { mode: 0o600 });
    this.write(see);
  }

  get args(): string[] { return ['--auth', `${this.#folder}/auth.toml`]; }

  /** Writes it without the key; the gateway reads it on SIGHUP. */
  revoke(): void {
    this.write(['*.*'], 'another key');
  }

  /** Writes another; the gateway reads it on SIGHUP. */
  write(see: readonly string[], key = KEY): void {
    const sha256 = createHash('sha256').update(key).digest('hex');
    writeFileSync(`${this.#folder}/auth.toml`, [
      '[roles.desk]', `see = ${JSON.stringify(see)}`, '[[keys]]', 'name = "desk-1"', `sha256 = "${sha256}"`, 'role = "desk"',
      '[jwt]', 'algorithms = ["HS256"]', 'secret-file = "secret"', 'leeway = "0s"', '',
    ].join('\n'), { mode: 0o600 });
  }
}

/** A token of the role `desk` that is good for so many seconds. */
export function token(seconds: number, by = SECRET): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.ceil(Date.now() / 1_000) + seconds;
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'somebody', exp, role: 'desk' })}`;
  return `${signed}.${createHmac('sha256', by).update(signed).digest('base64url')}`;
}
