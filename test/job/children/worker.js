// A process that triggers jobs as it is told, line by line: `{ id, do, … }` in, `{ id, … }` or `{ id, error }` out, and
// `{ event: 'started', … }` for each run. A run ends once `open` is told, with its arguments as its result.
// node worker.js redis PREFIX | sqlite PATH
import { createInterface } from 'node:readline'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

const [kind, where = ''] = process.argv.slice(2)
const backend =
  kind === 'redis' ? redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix: where }) : sqliteBackend(where)
const asked = { sent: 0, answered: 0 }
const run = backend.run.bind(backend)
backend.run = async (steps, ...rest) => {
  const triggers = steps.filter(({ kind }) => kind === 'trigger').length
  asked.sent += triggers
  try {
    return await run(steps, ...rest)
  } finally {
    asked.answered += triggers
  }
}
// A busy machine is no fault.
const solo = connect(backend, { callTimeoutMs: 30_000 })
/** @param {object} line */
const say = line => console.log(JSON.stringify(line))

/** @type {() => void} */
let open = () => {}
const opened = new Promise(resolve => {
  open = () => resolve(undefined)
})
/** @type {import('soloist').Job<any, any>} */
let job
/** @type {Map<number, import('soloist').JobOutcome<any>>} */
const outcomes = new Map()
/** @type {Map<number, import('soloist').JobOutcome<any>[]>} */
const many = new Map()

/** @param {any} error */
const told = error => ({ name: error.name, code: error.code, message: error.message, cause: error.cause?.name })

/** @type {Record<string, (id: number, command: any) => Promise<object>>} */
const commands = {
  async define(_, { options, merges }) {
    const merge = merges
      ? { merge: (/** @type {any} */ a, /** @type {any} */ b) => ({ ...b, n: [...a.n, ...b.n] }) }
      : {}
    job = solo.job('work', { ...options, ...merge }, async (args, run) => {
      say({ event: 'started', args, id: run.id, fence: run.fence })
      await opened
      if (args.fail) throw new RangeError(args.fail)
      return args
    })
    return {}
  },
  async trigger(id, { args }) {
    const outcome = await job.trigger(args)
    outcomes.set(id, outcome)
    return { outcome }
  },
  async result(_, { of }) {
    return { result: await outcomes.get(of)?.result() }
  },
  async triggerMany(id, { all }) {
    const triggered = await Promise.all(all.map((/** @type {any} */ args) => job.trigger(args)))
    many.set(id, triggered)
    return { statuses: triggered.map(({ status }) => status) }
  },
  async resultsMany(_, { of }) {
    return { results: await Promise.all((many.get(of) ?? []).map(outcome => outcome.result())) }
  },
  async open() {
    open()
    return {}
  },
  async asked() {
    return asked
  },
  async counts() {
    return { counts: job.counts() }
  },
  async close() {
    await solo.close()
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...command } = JSON.parse(line)
  commands[name]?.(id, command).then(
    reply => say({ id, ...reply }),
    error => say({ id, error: told(error) }),
  )
}
// Also when the test ended without a word.
await solo.close()
