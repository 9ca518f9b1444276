// Takes one lock ROUNDS times and adds 1 to the number in FILE each time, reading and writing it in two steps. Prints
// `{ fence, fromNs, toNs }` for each time, on the machine's monotonic clock.
// node contend.js PATH DRIVER FILE ROUNDS
import { readFileSync, writeFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { connect } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'

const [path, driver, file, rounds] = /** @type {[string, any, string, string]} */ (process.argv.slice(2))
const solo = connect(sqliteBackend(path, { driver }))

for (let round = 0; round < Number(rounds); round++) {
  await solo.withLock('contended', async ({ fence }) => {
    const fromNs = process.hrtime.bigint()
    const number = Number(readFileSync(file, 'utf8'))
    await setImmediate()
    writeFileSync(file, String(number + 1))
    console.log(JSON.stringify({ fence, fromNs: String(fromNs), toNs: String(process.hrtime.bigint()) }))
  })
}
await solo.close()
