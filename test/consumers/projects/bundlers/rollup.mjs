// Bundles a program as an ES module with the plugins that every project for Node.js has. Prints what rollup warns of.
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import { nodeResolve } from '@rollup/plugin-node-resolve'
import { rollup } from 'rollup'

const [, , program, file] = process.argv
const bundle = await rollup({
  input: program,
  plugins: [nodeResolve({ exportConditions: ['node'], preferBuiltins: true }), commonjs(), json()],
  onwarn: warning => {
    // Whoever else is in the bundle.
    if (warning.message.includes('soloist')) console.error(warning.message)
  },
})
await bundle.write({ file, format: 'es', inlineDynamicImports: true })
await bundle.close()
