// Bundles a program with webpack's defaults for Node.js. Prints what webpack warns of.
import { basename, dirname } from 'node:path'
import webpack from 'webpack'

const [, , program, out] = process.argv
const compiler = webpack({
  mode: 'production',
  target: 'node20',
  entry: `./${program}`,
  output: { path: dirname(out), filename: basename(out) },
})
compiler.run((error, stats) => {
  if (error) throw error
  const { errors = [], warnings = [] } = stats?.toJson({ all: false, errors: true, warnings: true }) ?? {}
  for (const { message } of [...errors, ...warnings]) console.error(message)
  if (errors.length > 0) process.exitCode = 1
  compiler.close(failed => {
    if (failed) throw failed
  })
})
