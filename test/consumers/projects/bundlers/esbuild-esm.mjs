// Bundles programs as ES modules: `esbuild-esm.mjs FOLDER PROGRAM…`. Packages that are CommonJS call `require`, which such
// a bundle has by this banner.
import { build } from 'esbuild'

const [, , outdir, ...entryPoints] = process.argv
await build({
  entryPoints,
  outdir,
  bundle: true,
  platform: 'node',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  logLevel: 'warning',
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
})
