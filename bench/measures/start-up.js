// What it takes to start: loading the library, and the command around a program that does nothing.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { spread } from './rounds.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMMAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** @param {readonly string[]} args */
function timed(args) {
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`)
  return performance.now() - startedAt
}

/** In milliseconds beyond those that Node takes to start and end. @param {string} url of the store @param {number} rounds */
export function startUp(url, rounds) {
  const ways = {
    "import 'soloist'": ['--input-type=module', '--eval', "import 'soloist'"],
    "require('soloist')": ['--eval', "require('soloist')"],
    'soloist run': [COMMAND, 'run', 'start-up', '--store', url, '--', 'true'],
  }
  /** @type {Record<string, number[]>} */
  const beyond = {}
  for (let round = 0; round <= rounds; round += 1) {
    for (const [way, args] of Object.entries(ways)) {
      const bare = timed(args[0] === COMMAND ? ['--eval', '0'] : [...args.slice(0, -1), '0'])
      const took = timed(args)
      if (round > 0) beyond[way] = [...(beyond[way] ?? []), took - bare]
    }
  }
  return Object.fromEntries(Object.entries(beyond).map(([way, values]) => [way, spread(values)]))
}
