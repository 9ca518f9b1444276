// A small service with an outbox on Postgres, with everything it needs. `--help` says more.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { run } from './run.js'
import { startPostgres } from './server.js'

const HELP = `Usage: npm run example:postgres -- [options]

Starts a Postgres and three workers. A service books amounts on accounts, and writes an event of each into its outbox in the same
transaction; the workers tell the events, account by account. One worker is killed and one is paused on the way. At the end it
is checked that every event that was committed was told once, in the order of its account, and no other.

  --events N        how many at least, from 50 to 5000; default 300
  --without-guard   the workers do not bind their transactions to their locks: the paused one then tells its events twice
  --record FILE     write what happened as JSON
  --help
`

/** An argument that cannot be taken. */
class UsageError extends Error {}

/** @param {string[]} args */
function parse(args) {
  const options = /** @type {const} */ ({
    events: { type: 'string', default: '300' },
    'without-guard': { type: 'boolean', default: false },
    record: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  let values
  try {
    values = parseArgs({ args, options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
  const events = /^\d{1,4}$/.test(values.events) ? Number(values.events) : 0
  if (events < 50 || events > 5_000) throw new UsageError('--events must be a whole number from 50 to 5000')
  return { help: values.help, record: values.record, guarded: !values['without-guard'], events }
}

async function main() {
  const { help, record: file, guarded, events } = parse(process.argv.slice(2))
  if (help) return void process.stdout.write(HELP)
  const stopping = new AbortController()
  const interrupt = () => stopping.abort()
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  const server = await startPostgres()
  const startMs = performance.now()
  const say = (/** @type {string} */ text) =>
    console.log(`${((performance.now() - startMs) / 1_000).toFixed(1).padStart(5)} s  ${text}`)
  try {
    const record = await run(server.url, { events, guarded, signal: stopping.signal, say })
    const { committed, rolledBack, told, problems } = record
    console.log(`\n${committed} events were committed, ${rolledBack} rolled back, ${told} told`)
    for (const problem of problems) console.log(`WRONG: ${problem}`)
    if (problems.length === 0) console.log('every committed event was told once, in order, and no other')
    if (file !== undefined) writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`)
    if (problems.length > 0) process.exitCode = 1
  } catch (error) {
    if (!stopping.signal.aborted) throw error
    console.log('interrupted: all processes have ended')
    process.exitCode = 130
  } finally {
    await server.stop()
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

main().catch(error => {
  console.error(error instanceof UsageError ? `outbox: ${error.message}` : error)
  // What failed may be what connections are closed with.
  process.exit(error instanceof UsageError ? 2 : 1)
})
