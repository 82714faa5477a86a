/** What is committed, and so embedded in the gateway, is what the sources build. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");

/** Every file of a folder, by its path in it. */
function files(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}

const isForm = (path: string) => path.endsWith(".gz") || path.endsWith(".br");

test("the committed build is the sources' (npm run build brings it up to date)", async () => {
  const fresh = mkdtempSync(join(tmpdir(), "tickcast-dashboard-"));
  onTestFinished(() => rmSync(fresh, { recursive: true }));
  // As `npm run build` does it: a process of its own, which knows of no test.
  const { NODE_ENV: _, ...env } = process.env;
  await promisify(execFile)("npx", ["--no-install", "vite", "build", "--outDir", fresh, "--emptyOutDir", "--logLevel", "error"], { cwd: ROOT, env });
  const [committed, built] = [files(DIST), files(fresh)];
  expect([...committed.keys()].sort()).toEqual([...built.keys()].sort());
  for (const [path, bytes] of built) {
    // Compressors differ from one Node to the next; what they hold does not.
    if (!isForm(path)) expect(committed.get(path)?.equals(bytes), path).toBe(true);
  }
});

test("compressed forms hold the files that they stand for", () => {
  const committed = files(DIST);
  const forms = [...committed.keys()].filter(isForm);
  expect(forms.length).toBeGreaterThan(5);
  for (const path of forms) {
    const bytes = committed.get(path) ?? Buffer.alloc(0);
    const plain = path.endsWith(".gz") ? gunzipSync(bytes) : brotliDecompressSync(bytes);
    expect(committed.get(path.slice(0, -3))?.equals(plain), path).toBe(true);
  }
});
