// The dashboard's files: what the gateway serves below `/`, with their compressed forms. It is an expression of type
// `&[Asset]`, which `gateway/src/routes/asset.rs` includes, and nothing else does.
//
// Written by the dashboard's build; do not edit. To write it again, after any change to the sources of the dashboard or of the
// client: `npm run build -w dashboard` in `gateway/web` (`dashboard/build/embedded.ts` makes it), and commit what that writes.
// `dashboard/test/build.test.ts` builds anew and compares byte for byte; CI runs it in the stage `web`.
&[
    Asset {
        path: "/assets/chart-GAMqPscY.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/chart-GAMqPscY.js"),
        gzip: Some(include_bytes!("assets/chart-GAMqPscY.js.gz")),
        brotli: Some(include_bytes!("assets/chart-GAMqPscY.js.br")),
    },
    Asset {
        path: "/assets/engine-CZzmwDUA.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/engine-CZzmwDUA.js"),
        gzip: Some(include_bytes!("assets/engine-CZzmwDUA.js.gz")),
        brotli: Some(include_bytes!("assets/engine-CZzmwDUA.js.br")),
    },
    Asset {
        path: "/assets/index-C5yvvk6-.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/index-C5yvvk6-.js"),
        gzip: Some(include_bytes!("assets/index-C5yvvk6-.js.gz")),
        brotli: Some(include_bytes!("assets/index-C5yvvk6-.js.br")),
    },
    Asset {
        path: "/assets/index-DaJWr_N_.css",
        content_type: "text/css; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/index-DaJWr_N_.css"),
        gzip: Some(include_bytes!("assets/index-DaJWr_N_.css.gz")),
        brotli: Some(include_bytes!("assets/index-DaJWr_N_.css.br")),
    },
    Asset {
        path: "/assets/worker-CL35sfYu.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/worker-CL35sfYu.js"),
        gzip: Some(include_bytes!("assets/worker-CL35sfYu.js.gz")),
        brotli: Some(include_bytes!("assets/worker-CL35sfYu.js.br")),
    },
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        keeping: Keeping::AskEachTime,
        identity: include_bytes!("index.html"),
        gzip: Some(include_bytes!("index.html.gz")),
        brotli: Some(include_bytes!("index.html.br")),
    },
    Asset {
        path: "/licenses.md",
        content_type: "text/plain; charset=utf-8",
        keeping: Keeping::AskEachTime,
        identity: include_bytes!("licenses.md"),
        gzip: Some(include_bytes!("licenses.md.gz")),
        brotli: Some(include_bytes!("licenses.md.br")),
    },
]
