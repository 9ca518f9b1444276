// Bundles programs with webpack: `webpack.mjs FOLDER PROGRAM…`. Prints what webpack warns of. `EXTERNALS` is the pattern of
// what is to stay outside.
import { basename, resolve } from 'node:path'
import webpack from 'webpack'
import config from './webpack.config.mjs'

const [, , folder, ...programs] = process.argv
const externals = process.env.EXTERNALS
const compiler = webpack({
  ...config,
  ...(externals === undefined ? {} : { externals: new RegExp(externals) }),
  entry: Object.fromEntries(programs.map(program => [basename(program, '.mjs'), `./${program}`])),
  output: { path: resolve(folder), filename: '[name].cjs' },
})
compiler.run((error, stats) => {
  if (error) throw error
  const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true, ids: true })
  for (const { moduleName, message } of [...errors, ...warnings]) {
    // These ask for packages that are not installed.
    if (!/^\.\/node_modules\/(bullmq|@redis\/client)\//.test(moduleName)) console.error(`${moduleName}: ${message}`)
  }
  if (errors.length > 0) process.exitCode = 1
  compiler.close(failed => {
    if (failed) throw failed
  })
})
