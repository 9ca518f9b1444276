// Bundles a program as an ES module. Packages that are CommonJS call `require`, which such a bundle has by this banner.
import { build } from 'esbuild'

const [, , program, outfile] = process.argv
await build({
  entryPoints: [program],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
})
