/** Makes of a build what `gateway/src/routes/asset.rs` includes: compressed forms of each file, and `files.rs`, the list. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const CONTENT_TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".md": "text/plain; charset=utf-8",
};

/** What the list says of itself. It is included as an expression, before which there can be no `//!`. */
const HEADER = `\
// The dashboard's files: what the gateway serves below \`/\`, with their compressed forms. It is an expression of type
// \`&[Asset]\`, which \`gateway/src/routes/asset.rs\` includes, and nothing else does.
//
// Written by the dashboard's build; do not edit. To write it again, after any change to the sources of the dashboard or of the
// client: \`npm run build -w dashboard\` in \`gateway/web\` (\`dashboard/build/embedded.ts\` makes it), and commit what that writes.
// \`dashboard/test/build.test.ts\` builds anew and compares byte for byte; CI runs it in the stage \`web\`.
`;

/** A compressed form that saves less than this share is not worth its place in the binary. */
const WORTH = 0.9;

export function embedded(): Plugin {
  let folder = "dist";
  return {
    name: "tickcast-embedded",
    apply: "build",
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
        .filter((path) => extension(path) in CONTENT_TYPES)
        .sort();
      writeFileSync(join(folder, "files.rs"), list(folder, paths));
    },
  };
}

function extension(path: string): string {
  return path.slice(path.lastIndexOf("."));
}

function list(folder: string, paths: string[]): string {
  const entries = paths.map((path) => {
    const content = readFileSync(join(folder, path));
    const forms = { gz: gzipSync(content, { level: 9 }), br: brotli(content) };
    const form = (suffix: "gz" | "br") => {
      if (forms[suffix].length > content.length * WORTH) return "None";
      writeFileSync(join(folder, `${path}.${suffix}`), forms[suffix]);
      return `Some(include_bytes!("${path}.${suffix}"))`;
    };
    const keeping = path.startsWith("assets/") ? "ForGood" : "AskEachTime";
    return `    Asset {
        path: "/${path === "index.html" ? "" : path}",
        content_type: "${CONTENT_TYPES[extension(path)]}",
        keeping: Keeping::${keeping},
        identity: include_bytes!("${path}"),
        gzip: ${form("gz")},
        brotli: ${form("br")},
    },
`;
  });
  return `${HEADER}&[\n${entries.join("")}]\n`;
}

function brotli(content: Buffer): Buffer {
  return brotliCompressSync(content, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
}
