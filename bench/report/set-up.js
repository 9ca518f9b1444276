import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { PEERS } from '../contender.js'

/** @param {string} folder @param {string} name */
function versionOf(folder, name) {
  const file = new URL(`../../${folder}/${name}/package.json`, import.meta.url)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version.replace(/^v/, '') : null
}

/** @param {string} name @returns {[folder: string, package: string]} */
function whereIs(name) {
  if (name === 'redlock-universal') return ['bench/peers/node_modules', name]
  // Two majors of it are installed.
  return ['node_modules', name === 'redlock' ? 'redlock-5' : name]
}

/** What was measured where, with which versions. @param {string} redis @param {{ ms: number, rounds: number }} run */
export function setUp(redis, { ms, rounds }) {
  const [cpu] = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    command: commandLine(process.argv.slice(2)),
    machine: `${cpus().length} × ${cpu?.model.trim()}`,
    versions: {
      node: process.version.slice(1),
      redis,
      ioredis: versionOf('node_modules', 'ioredis'),
      libsql: versionOf('node_modules', 'libsql'),
      bullmq: versionOf('node_modules', 'bullmq'),
      ...Object.fromEntries(PEERS.map(name => [name, versionOf(...whereIs(name))])),
    },
    rounds,
    turnMs: ms,
  }
}

/** The same for what was measured on Postgres. @param {string} postgres @param {{ ms: number, rounds: number }} run */
export function setUpOfPostgres(postgres, { ms, rounds }) {
  const names = ['pg', 'kysely', 'knex', '@verrou/core']
  return {
    date: new Date().toISOString().slice(0, 10),
    command: commandLine(process.argv.slice(2)),
    versions: {
      node: process.version.slice(1),
      // Debian adds its own version.
      postgres: postgres.split(' ')[0],
      ...Object.fromEntries(names.map(name => [name, versionOf('node_modules', name)])),
    },
    rounds,
    turnMs: ms,
  }
}

/** As somebody would type it to get the same figures: without where they are written to. @param {readonly string[]} args */
function commandLine(args) {
  const files = args.flatMap((arg, i) => (arg === '--json' ? [i, i + 1] : arg === '--write' ? [i] : []))
  const rest = args.filter((_, i) => !files.includes(i))
  return ['npm run bench', ...(rest.length === 0 ? [] : ['--', ...rest])].join(' ')
}
