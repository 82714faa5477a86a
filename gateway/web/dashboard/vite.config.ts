/** The dashboard's build: few files, named by their content, and the list of them that the gateway embeds. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { embedded } from "./build/embedded.ts";

export default defineConfig({
  base: "/",
  // Its source, not what was built of it last: one command builds all.
  resolve: { alias: { "@tickcast/client": fileURLToPath(new URL("../client/src/index.ts", import.meta.url)) } },
  build: {
    target: "es2022",
    // The policy of the page allows no code in it, so Vite must add none.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // Third-party code keeps its notices in a file of its own.
    license: { fileName: "licenses.md" },
  },
  worker: { format: "es" },
  plugins: [embedded()],
  server: {
    // `npm run dev` beside a gateway.
    proxy: { "/v1": { target: process.env["TICKCAST_URL"] ?? "http://127.0.0.1:9443", ws: true } },
  },
});
