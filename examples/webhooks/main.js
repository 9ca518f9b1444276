// A small service that takes webhooks and keeps a target in sync, with everything it needs. `--help` says more.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startRedis } from './redis.js'
import { report } from './report.js'
import { run } from './run.js'

const HELP = `Usage: npm run example:webhooks -- [options]

Starts a redis-server, a receiver and two workers, posts webhook deliveries to the receiver, kills a worker on the way, and
checks at the end that every account was synced to its last delivered state.

  --deliveries N   how many, from 100 to 5000; default 400
  --record FILE    write what happened as JSON
  --help
`

/** An argument that cannot be taken. */
class UsageError extends Error {}

/** @param {string[]} args */
function parse(args) {
  const options = /** @type {const} */ ({
    deliveries: { type: 'string', default: '400' },
    record: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  let values
  try {
    values = parseArgs({ args, options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
  const deliveries = /^\d{1,4}$/.test(values.deliveries) ? Number(values.deliveries) : 0
  if (deliveries < 100 || deliveries > 5_000)
    throw new UsageError('--deliveries must be a whole number from 100 to 5000')
  return { ...values, deliveries }
}

async function main() {
  const { help, deliveries, record: file } = parse(process.argv.slice(2))
  if (help) return void process.stdout.write(HELP)
  const stopping = new AbortController()
  const interrupt = () => stopping.abort()
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  const redis = await startRedis()
  try {
    const record = await run(redis, deliveries, stopping.signal)
    console.log(`\n${report(record)}`)
    if (file !== undefined) writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`)
    if (record.problems.length > 0) process.exitCode = 1
  } catch (error) {
    if (!stopping.signal.aborted) throw error
    console.log('interrupted: all processes have ended')
    process.exitCode = 130
  } finally {
    await redis.stop()
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

main().catch(error => {
  console.error(error instanceof UsageError ? `webhooks: ${error.message}` : error)
  // What failed may be what connections are closed with.
  process.exit(error instanceof UsageError ? 2 : 1)
})
