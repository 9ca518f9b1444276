// A process that takes and keeps locks as it is told, one command a line, and answers each with a line.
// Arguments: the store's URL.
import { createInterface } from 'node:readline'
import { connect } from 'soloist'

const solo = connect(process.argv[2])
const leases = new Map()
const blocks = new Map()
const say = line => console.log(JSON.stringify(line))
const told = ({ name, owner, fence }) => ({ name, owner, fence })

solo.on('lost', ({ name, reason }) => say({ event: 'lost', name, code: reason.code }))
solo.on('retaken', ({ name, fence, fenceBefore }) => say({ event: 'retaken', name, fence, fenceBefore }))

const commands = {
  async lock({ name, ...options }) {
    const lease = await solo.lock(name, options)
    leases.set(name, lease)
    return told(lease)
  },
  /** Begins a block, which says when it was aborted and goes on until it is told to end, or for `workMs`. */
  block({ name, workMs, ...options }) {
    return new Promise((resolve, reject) => {
      const block = solo.withLock(name, options, async lease => {
        lease.signal.addEventListener('abort', () => say({ event: 'aborted', name }))
        const ended = new Promise(end => blocks.set(name, end))
        if (workMs !== undefined) setTimeout(blocks.get(name), workMs)
        resolve({ ...told(lease), atMs: Date.now() })
        await ended
        say({ event: 'ended', name, atMs: Date.now() })
      })
      block.catch(reject)
    })
  },
  /** Begins a run of a job that never ends. */
  job({ name, ...options }) {
    return new Promise(resolve => {
      const job = solo.job(name, options, () => {
        resolve({})
        return new Promise(() => {})
      })
      job.trigger()
    })
  },
  async end({ name }) {
    blocks.get(name)()
    return {}
  },
  async release({ name }) {
    await leases.get(name).release()
    return {}
  },
  async valid({ name }) {
    leases.get(name).assertValid()
    return told(leases.get(name))
  },
  async detach({ name }) {
    return { token: await leases.get(name).detach() }
  },
  async attach({ token }) {
    const lease = await solo.attach(token)
    leases.set(lease.name, lease)
    return told(lease)
  },
  /** Stops itself, where no transaction is open: those of SQLite run to their end at once. */
  async stop() {
    say({ event: 'stopping' })
    process.kill(process.pid, 'SIGSTOP')
    return {}
  },
  async close(options) {
    await solo.close(options)
    return {}
  },
}

process.on('SIGTERM', () => solo.close({ drainMs: 20_000 }))

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...args } = JSON.parse(line)
  Promise.resolve(commands[command](args)).then(
    reply => say({ id, ...reply }),
    error => say({ id, code: error.code ?? String(error) }),
  )
}
