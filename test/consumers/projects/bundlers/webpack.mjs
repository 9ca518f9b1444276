// Bundles programs with webpack: `webpack.mjs FOLDER PROGRAM…`. Prints what webpack warns of, a line each, but for what the
// pattern `IGNORED` matches.
import { basename, resolve } from 'node:path'
import webpack from 'webpack'
import config from './webpack.config.mjs'

const [, , folder, ...programs] = process.argv
const ignored = process.env.IGNORED
const compiler = webpack({
  ...config,
  ignoreWarnings: ignored === undefined ? [] : [new RegExp(ignored)],
  entry: Object.fromEntries(programs.map(program => [basename(program, '.mjs'), `./${program}`])),
  output: { path: resolve(folder), filename: '[name].cjs' },
})
compiler.run((error, stats) => {
  if (error) throw error
  const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true, ids: true })
  for (const { moduleName, message } of [...errors, ...warnings]) {
    // These ask for packages that are not installed.
    if (/^\.\/node_modules\/(bullmq|@redis\/client)\//.test(moduleName)) continue
    console.error(`${moduleName}: ${message.split('\n')[0]}`)
  }
  if (errors.length > 0) process.exitCode = 1
  compiler.close(failed => {
    if (failed) throw failed
  })
})
