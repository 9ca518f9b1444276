// Three instances of an application share a cron job. One has a clock that is 850 ms ahead, and is killed. `--help` says more.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { page } from './page.js'
import { problemsOf, run } from './run.js'

const HELP = `Usage: npm run example:cron -- [options]

Three processes run a cron job each second. Their clocks differ by up to 1150 ms, and one of them is killed in the
middle of a run. Shows which of them ran each tick, and writes a time line.

  --seconds N    how long, from 6 to 120; default 12
  --store URL    redis://… or sqlite:PATH; default: an SQLite file that is removed
  --out FILE     where the time line goes; default .cron/latest.html
  --help
`

/** An argument that cannot be taken. */
class UsageError extends Error {}

/** @param {string[]} args */
function parse(args) {
  const options = /** @type {const} */ ({
    seconds: { type: 'string', default: '12' },
    store: { type: 'string' },
    out: { type: 'string', default: join('.cron', 'latest.html') },
    help: { type: 'boolean', default: false },
  })
  let values
  try {
    values = parseArgs({ args, options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
  const seconds = /^\d{1,3}$/.test(values.seconds) ? Number(values.seconds) : 0
  if (seconds < 6 || seconds > 120) throw new UsageError('--seconds must be a whole number from 6 to 120')
  return { ...values, seconds }
}

async function main() {
  const { help, seconds, store, out } = parse(process.argv.slice(2))
  if (help) return void process.stdout.write(HELP)
  const folder = mkdtempSync(join(tmpdir(), 'soloist-cron-example-'))
  try {
    const story = await run(store ?? `sqlite:${join(folder, 'cron.db')}`, seconds)
    const problems = problemsOf(story)
    const { lines, ticks } = story
    const begun = lines.filter(line => line.event === 'begin' && ticks.includes(line.tick))
    const late = lines.filter(line => line.status === 'elsewhere' && ticks.includes(line.tick))
    const again = begun.length - new Set(begun.map(({ tick }) => tick)).size
    const summary = [
      `${ticks.length} ticks, ${problems.length === 0 ? 'each of them run' : 'not all as they should be'}`,
      `${again} run again by another instance, since the process that ran it was killed`,
      `${late.length} times an instance came to a tick that ran elsewhere`,
      ...problems,
    ].join('\n')
    mkdirSync(dirname(out), { recursive: true })
    writeFileSync(out, page(story, summary))
    console.log(`${summary}\ntime line: ${out}`)
    if (problems.length > 0) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main().catch(error => {
  console.error(error instanceof UsageError ? `cron: ${error.message}` : error)
  process.exit(error instanceof UsageError ? 2 : 1)
})
