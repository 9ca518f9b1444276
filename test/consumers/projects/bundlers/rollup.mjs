// Bundles programs with rollup: `rollup.mjs FOLDER PROGRAM…`. Prints what rollup warns of.
import { rollup } from 'rollup'
import config from './rollup.config.mjs'

const [, , dir, ...input] = process.argv
const bundle = await rollup({
  ...config,
  input,
  onwarn(warning) {
    // Other packages have their own.
    if (JSON.stringify(warning).includes('node_modules/soloist/')) console.error(warning.message)
  },
})
await bundle.write({ ...config.output, dir, entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' })
await bundle.close()
