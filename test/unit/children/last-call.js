// Takes a lock, and then one of a store that has fallen silent. Nothing but that call keeps this process alive.
// Argument: 'silent', or 'done' to end after the first lock.
import { connect, memoryBackend } from 'soloist'

const memory = memoryBackend()
let silent = false
const store = {
  kind: memory.kind,
  beatMs: memory.beatMs,
  mostSteps: memory.mostSteps,
  callsAtOnce: memory.callsAtOnce,
  open: memory.open.bind(memory),
  run: steps => (silent ? new Promise(() => {}) : memory.run(steps)),
  inspect: memory.inspect.bind(memory),
  list: memory.list.bind(memory),
  close: memory.close.bind(memory),
}
const last = process.argv[2]
const solo = connect(store, { callTimeoutMs: last === 'silent' ? 2_000 : 60_000 })
const lease = await solo.lock('lock')
await lease.release()
console.log('released')
if (last === 'silent') {
  silent = true
  await solo.lock('lock', { waitMs: 0 }).catch(error => console.log(error.code))
}
