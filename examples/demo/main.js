// Four processes measure every installed package of this project, each package once. `--help` says more.
import { randomBytes, randomInt } from 'node:crypto'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, SoloistError } from 'soloist'
import { Crew } from './crew.js'
import { counted } from './format.js'
import { nowMs } from './journal.js'
import { measure } from './measure.js'
import { Progress } from './progress.js'
import { problemsOf, readRecord } from './record.js'
import { report } from './report.js'
import { deal, readTree, requestsFor } from './requests.js'
import { timeline } from './timeline.js'

/**
 * What the parent found out about a run by itself.
 *
 * @typedef {object} Verdict
 * @property {{ package: string, same: boolean }[]} remeasured packages measured again without locks
 * @property {string[]} problems empty when the run kept every promise
 */

const HELP = `Usage: npm run demo -- [options]

Worker processes measure every installed package of this project: its files, its bytes and one SHA-256 over them. Each
package is asked for by every package that needs it, and measured under a lock of its own, so that one process does it
while the others wait their turn and reuse the result. One worker is killed while it holds a lock.

  --store URL    redis://host:port, postgres://host/database or sqlite:file; default: an SQLite file in the run's folder
  --workers N    how many processes, from 2 to 16; default 4
  --out DIR      where runs are recorded; default .demo
  --help
`

const projectFolder = fileURLToPath(new URL('../..', import.meta.url))
/** Bounds how long a killed worker's lock stays. Short, since here everybody wants to see what comes after. */
const TTL_MS = 2_000
/** Small enough to be found on every platform, and large enough that a worker is still at it when the signal comes. */
const HEAVY_BYTES = 16_000_000
const REMEASURED = 3

/** An argument that cannot be taken. */
class UsageError extends Error {}

/** @param {string[]} args */
function parse(args) {
  const options = /** @type {const} */ ({
    store: { type: 'string' },
    workers: { type: 'string', default: '4' },
    out: { type: 'string', default: join(projectFolder, '.demo') },
    help: { type: 'boolean', default: false },
  })
  const parsed = attempt(() => parseArgs({ args, options }))
  const { store, workers, out, help } = parsed.values
  if (!/^\d{1,2}$/.test(workers) || Number(workers) < 2 || Number(workers) > 16) {
    throw new UsageError('--workers must be a whole number from 2 to 16')
  }
  if (store?.startsWith('memory:')) throw new UsageError('--store memory: is one process only; the demo has several')
  return { store, workers: Number(workers), out: resolve(out), help }
}

/** Makes what an argument led to a usage error. @template T @param {() => T} take */
function attempt(take) {
  try {
    return take()
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

async function main() {
  const { store, help, ...settings } = parse(process.argv.slice(2))
  if (help) return void process.stdout.write(HELP)
  const id = `${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}-${randomBytes(3).toString('hex')}`
  const runFolder = join(settings.out, id)
  const url = store ?? `sqlite:${join(runFolder, 'locks.db')}`
  const solo = attempt(() => connect(url))
  try {
    await run(solo, { ...settings, id, runFolder, store: url })
  } finally {
    await solo.close()
  }
}

/**
 * @param {import('soloist').Soloist} solo
 * @param {{ id: string, runFolder: string, store: string, workers: number, out: string }} settings
 */
async function run(solo, { id, runFolder, store, workers, out }) {
  const locks = `demo:${id}:measure:`
  const tree = readTree(projectFolder)
  const requests = requestsFor(tree)
  const { packages, skipped } = tree
  attempt(() => mkdirSync(join(runFolder, 'results'), { recursive: true }))
  try {
    // Whether the store can be reached, before anybody is sent there.
    await solo.inspect(locks)
  } catch (error) {
    rmSync(runFolder, { recursive: true })
    throw error
  }
  console.log(
    `${counted(requests.length, 'request')} for ${counted(packages.length, 'installed package')} ` +
      `(${skipped.length} for other platforms left out), ${workers} workers, locks on ${solo.backendKind}`,
  )

  const progress = new Progress(process.stdout, requests.length)
  const crew = new Crew(
    { projectFolder, runFolder, store, locks, ttlMs: TTL_MS },
    { heavyBytes: HEAVY_BYTES, onEvent: (event, member) => progress.show(event, member) },
  )
  let interrupted = false
  const interrupt = () => {
    interrupted = true
    void crew.stop()
  }
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  const startedAt = new Date()
  const startedAtMs = nowMs()
  /** @type {unknown} */
  let failure = null
  progress.start()
  try {
    await crew.run(deal(requests, workers))
  } catch (error) {
    // Ctrl-C reaches the workers as well, and one that is just starting ends by it.
    failure = error
  } finally {
    progress.stop()
    await crew.stop()
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
  if (interrupted) {
    rmSync(runFolder, { recursive: true })
    console.log('interrupted: the workers have ended and the run is removed')
    process.exitCode = 130
    return
  }
  if (failure !== null) throw failure

  const plan = { id, runFolder, startedAt, startedAtMs, backend: solo.backendKind, ttlMs: TTL_MS, ...tree, requests }
  const record = readRecord(plan, crew.members)
  const remeasured = await remeasure(record.packages)
  const differing = remeasured.filter(({ same }) => !same)
  const problems = [
    ...problemsOf(record),
    ...differing.map(({ package: path }) => `${path} has another digest when it is measured again`),
  ]
  for await (const { name } of solo.list({ prefix: locks })) problems.push(`the lock ${name} is still in use`)
  const judged = { ...record, remeasured, problems }
  console.log(`\n${report(judged)}`)
  write(out, runFolder, 'json', `${JSON.stringify(judged, null, 1)}\n`)
  write(out, runFolder, 'html', timeline(judged))
  console.log(`record    ${shown(join(out, 'latest.json'))}\ntimeline  ${shown(join(out, 'latest.html'))}`)
  if (problems.length > 0) process.exitCode = 1
}

/** Measures a few packages once more, picked at random and without any lock. @param {import('./record.js').MeasuredPackage[]} packages */
async function remeasure(packages) {
  const rest = [...packages]
  const picked = Array.from({ length: Math.min(REMEASURED, rest.length) }, () => rest.splice(randomInt(rest.length), 1))
  return await Promise.all(
    picked.flat().map(async ({ path, sha256 }) => {
      const again = await measure(join(projectFolder, path))
      return { package: path, same: again.sha256 === sha256 }
    }),
  )
}

/** Writes a file of the run, and the copy that is always the latest's. @param {string} out @param {string} runFolder @param {'json' | 'html'} kind @param {string} text */
function write(out, runFolder, kind, text) {
  const file = join(runFolder, kind === 'json' ? 'record.json' : 'timeline.html')
  writeFileSync(file, text)
  copyFileSync(file, join(out, `latest.${kind}`))
}

/** @param {string} path */
function shown(path) {
  const near = relative(process.cwd(), path)
  return near.startsWith('..') ? path : near
}

main().catch(error => {
  if (error instanceof UsageError) {
    console.error(`demo: ${error.message}`)
    process.exitCode = 2
  } else {
    // A fault of the store is known by its code; what is behind it says more than where it was met.
    const { cause } = error
    const behind = cause instanceof Error ? `: ${cause.message}` : ''
    console.error(error instanceof SoloistError ? `demo: ${error.message}${behind}` : error)
    process.exitCode = 1
  }
})
