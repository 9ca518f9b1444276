// A candidate for the leadership `main` that does as it is told, one command a line: resign, block MS, stop
// (itself).
// Arguments: the store's URL, the ttl, and a file. Every moment at which it is sure to lead it writes there, as lines of
// JSON. `earliest` and `latest` are the times between which the answer was had, in milliseconds of the monotonic clock,
// which all processes of a machine share. It writes before it goes on, so what it wrote outlives it.
import { openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { connect } from 'soloist'

const [url, ttlMs, file] = process.argv.slice(2)
const now = () => Number(process.hrtime.bigint()) / 1e6
const say = line => console.log(JSON.stringify(line))
const record = openSync(file, 'a')

const solo = connect(url, { callTimeoutMs: 3_000 })
const leader = solo.leader('main', { ttlMs: Number(ttlMs), value: String(process.pid) })
leader.on('elected', ({ fence }) => {
  say({ event: 'elected', fence, atMs: now() })
  look()
})
leader.on('lost', ({ term, reason }) =>
  say({ event: 'lost', fence: term.fence, code: reason?.code ?? null, atMs: now() }),
)

const commands = {
  async resign() {
    await leader.resign()
    stand()
  },
  async stop() {
    process.kill(process.pid, 'SIGSTOP')
    look()
  },
  async block(ms) {
    const untilMs = now() + Number(ms)
    while (now() < untilMs);
    look()
  },
}

createInterface({ input: process.stdin })
  .on('line', line => {
    const [command, argument] = line.split(' ')
    // A store that is away is no end of this candidate.
    commands[command](argument).catch(error => say({ event: 'fault', code: error.code }))
  })
  .on('close', () => process.exit())

function stand() {
  leader.campaign().catch(error => say({ event: 'gave-up', code: error.code }))
}

function look() {
  const earliest = now()
  const { term } = leader
  const latest = now()
  if (term !== null) writeSync(record, `${JSON.stringify({ fence: term.fence, earliest, latest })}\n`)
}

setInterval(look, 1)
stand()
say({ event: 'ready' })
