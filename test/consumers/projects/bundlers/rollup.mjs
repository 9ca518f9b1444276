// Bundles programs as ES modules, with the plugins that packages from npm need: `rollup.mjs FOLDER PROGRAM…`. Prints what
// rollup warns of.
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import { nodeResolve } from '@rollup/plugin-node-resolve'
import { rollup } from 'rollup'

const [, , dir, ...input] = process.argv
const bundle = await rollup({
  input,
  plugins: [nodeResolve({ exportConditions: ['node'], preferBuiltins: true }), commonjs(), json()],
  onwarn(warning) {
    // Other packages have their own.
    if (JSON.stringify(warning).includes('node_modules/soloist/')) console.error(warning.message)
  },
})
await bundle.write({ dir, format: 'es', entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' })
await bundle.close()
