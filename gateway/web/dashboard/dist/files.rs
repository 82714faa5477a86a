// The dashboard's files: what the gateway serves below `/`, with their compressed forms. It is an expression of type
// `&[Asset]`, which `gateway/src/routes/asset.rs` includes, and nothing else does.
//
// Written by the dashboard's build; do not edit. To write it again, after any change to the sources of the dashboard or of the
// client: `npm run build -w dashboard` in `gateway/web` (`dashboard/build/embedded.ts` makes it), and commit what that writes.
// `dashboard/test/build.test.ts` builds anew and compares byte for byte; CI runs it in the stage `web`.
&[
    Asset {
        path: "/assets/chart-BlZMKQ9S.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/chart-BlZMKQ9S.js"),
        gzip: Some(include_bytes!("assets/chart-BlZMKQ9S.js.gz")),
        brotli: Some(include_bytes!("assets/chart-BlZMKQ9S.js.br")),
    },
    Asset {
        path: "/assets/engine-DfXImM1e.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/engine-DfXImM1e.js"),
        gzip: Some(include_bytes!("assets/engine-DfXImM1e.js.gz")),
        brotli: Some(include_bytes!("assets/engine-DfXImM1e.js.br")),
    },
    Asset {
        path: "/assets/index-B6xVs4Q9.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/index-B6xVs4Q9.js"),
        gzip: Some(include_bytes!("assets/index-B6xVs4Q9.js.gz")),
        brotli: Some(include_bytes!("assets/index-B6xVs4Q9.js.br")),
    },
    Asset {
        path: "/assets/index-DiiySrkD.css",
        content_type: "text/css; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/index-DiiySrkD.css"),
        gzip: Some(include_bytes!("assets/index-DiiySrkD.css.gz")),
        brotli: Some(include_bytes!("assets/index-DiiySrkD.css.br")),
    },
    Asset {
        path: "/assets/worker-CG7ZDY5L.js",
        content_type: "text/javascript; charset=utf-8",
        keeping: Keeping::ForGood,
        identity: include_bytes!("assets/worker-CG7ZDY5L.js"),
        gzip: Some(include_bytes!("assets/worker-CG7ZDY5L.js.gz")),
        brotli: Some(include_bytes!("assets/worker-CG7ZDY5L.js.br")),
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
