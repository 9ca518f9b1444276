// Runs the tests that concern other packages with the oldest majors of them that this package takes, which come from npm:
// a copy of what was built and of the tests, beside these packages and the rest of the dependency tree. Needs a build.
// With a folder as its argument, vitest's JSON report is written there.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, fetchPackages } from './fetched.js'

const OLDEST = { bullmq: 5, ioredis: 5, redis: 5 }
const TESTS = ['test/bullmq', 'test/redis', 'test/conformance/redis-ioredis', 'test/conformance/redis-node-redis']
const COPIED = ['dist', 'test', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts']

const root = fileURLToPath(new URL('..', import.meta.url))

/** @param {string} modules a `node_modules` @param {string} name */
function versionIn(modules, name) {
  const file = join(modules, name, 'package.json')
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null
}

/** A `node_modules` that holds the oldest majors. */
function provide() {
  const folder = cacheFolder('peers', Object.values(OLDEST).join('-'))
  const modules = join(folder, 'node_modules')
  const packages = Object.entries(OLDEST)
  if (packages.every(([name]) => versionIn(modules, name) !== null)) return modules
  console.log(`test-peers: fetching older packages into ${folder}`)
  const fetched = fetchPackages(
    folder,
    packages.map(([name, major]) => `${name}@${major}`),
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
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...json, ...TESTS], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  process.exitCode = status ?? 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
