// Runs the tests that concern other packages with the oldest versions of them that package.json takes, which come from npm:
// a copy of what was built and of the tests, beside these packages and the rest of the dependency tree. Then the types of
// what was built are checked against the types of these. Needs a build.
// With a folder as its argument, vitest's JSON report is written there.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { subpaths } from './checks/tree.js'
import { cacheFolder, fetchPackages } from './fetched.js'

/** What runs code of these packages whose version can change the outcome. */
const TESTS = [
  // The adapter runs its scripts with BullMQ's own, so all of it but for what is only many (below).
  'test/bullmq',
  // How a client connects, subscribes, batches, answers and fails. The rest of test/redis is about scripts within Redis.
  'test/redis/clients',
  'test/redis/database',
  'test/redis/keys',
  'test/redis/sentinel',
  'test/redis/silent-clients',
  'test/redis/stray-messages',
  'test/redis/subscriptions',
  'test/redis/together',
  // What croner makes of patterns.
  'test/cron/schedule',
  'test/cron/once-per-tick',
  // What Nest injects and finds, and when it calls hooks.
  'test/nest/jobs',
  'test/nest/locked',
  'test/nest/module',
  'test/nest/places',
  'test/nest/ticks',
  // All statements, through libsql.
  'test/sqlite',
  'test/conformance/sqlite',
  // Of each what rests on the client.
  'test/conformance/redis-ioredis',
  'test/conformance/redis-node-redis',
  // Statements, listening and faults through pg.
  'test/postgres/set-up',
]
/** Thousands of triggers, or jobs made at random: each does what the other tests of `test/bullmq` have a few do. */
const MANY = ['bulk', 'histories', 'load', 'ten-thousand'].map(name => `test/bullmq/${name}.test.ts`)
const COPIED = ['dist', 'test', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts']

const root = fileURLToPath(new URL('..', import.meta.url))
/** @type {{ peerDependencies: Record<string, string> }} */
const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** The first version of each range, such as 5.3.0 of `^5.3.0 || ^6.0.0`. @type {Record<string, string>} */
const OLDEST = Object.fromEntries(
  Object.entries(peerDependencies).map(([name, range]) => {
    const oldest = /^\^(\d+\.\d+\.\d+)( \|\| |$)/.exec(range)?.[1]
    if (oldest === undefined) throw new Error(`test-peers: cannot tell the oldest version of ${name} ${range}`)
    return [name, oldest]
  }),
)

/** @param {string} modules a `node_modules` @param {string} name */
function versionIn(modules, name) {
  const file = join(modules, name, 'package.json')
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null
}

/** A `node_modules` that holds the oldest versions. */
function provide() {
  const folder = cacheFolder('peers', Object.values(OLDEST).join('-'))
  const modules = join(folder, 'node_modules')
  const packages = Object.entries(OLDEST)
  if (packages.every(([name, version]) => versionIn(modules, name) === version)) return modules
  console.log(`test-peers: fetching older packages into ${folder}`)
  const fetched = fetchPackages(
    folder,
    packages.map(([name, version]) => `${name}@${version}`),
  )
  if (!fetched) throw new Error('the older packages could not be fetched')
  return modules
}

/** Links everything of some `node_modules` into another that is not there yet. @param {string} from @param {string} to */
function link(from, to) {
  for (const name of readdirSync(from)) {
    if (!name.startsWith('.') && !existsSync(join(to, name))) symlinkSync(join(from, name), join(to, name))
  }
}

/** Whether what was built has types that fit those of the packages beside it. @param {string} folder */
function checkTypes(folder) {
  const options = ['--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable', '--types', 'node']
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const checks = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
  const files = subpaths.flatMap(({ body, face }) => [body.types, face.types])
  const { status } = spawnSync(process.execPath, [tsc, '--ignoreConfig', ...checks, ...options, ...files], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  console.log(`test-peers: the types ${status === 0 ? 'fit' : 'do NOT fit'} those of the older packages`)
  return status === 0
}

const results = process.argv[2]
const older = provide()
const folder = mkdtempSync(join(tmpdir(), 'soloist-peers-'))
try {
  for (const name of COPIED) cpSync(join(root, name), join(folder, name), { recursive: true })
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  link(older, modules)
  link(join(root, 'node_modules'), modules)
  const versions = Object.keys(OLDEST).map(name => `${name} ${versionIn(modules, name)}`)
  console.log(`test-peers: ${versions.join(', ')}`)
  const json = ['--reporter=default', '--reporter=json', `--outputFile.json=${join(results ?? folder, 'peers.json')}`]
  const without = MANY.map(file => `--exclude=${file}`)
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...json, ...without, ...TESTS], {
    cwd: folder,
    env: { ...process.env, SOLOIST_TESTS: 'quick', SOLOIST_CONFORMANCE: 'part' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  process.exitCode = checkTypes(folder) ? (status ?? 1) : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
