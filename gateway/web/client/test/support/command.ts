// Commands that tests run to their end.

import { execFile } from 'node:child_process';

/** What a command prints; it throws with all of that if it fails. */
export function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  return new Promise((done, fail) => {
    execFile(command, args, { cwd, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`${command} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`));
    });
  });
}
