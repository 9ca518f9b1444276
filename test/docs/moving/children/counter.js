// Adds to the number in a file, again and again, as a process of the old or of the new version does:
// node counter.js old|new FILE TIMES
import { readFile, writeFile } from 'node:fs/promises'
import { lock } from 'proper-lockfile'
import { connect } from 'soloist'

const [version, file = '', times] = process.argv.slice(2)
const retries = { retries: 1_000, factor: 1, minTimeout: 2, maxTimeout: 2 }

async function locked() {
  const release = await lock(file, { retries })
  const count = Number(await readFile(file, 'utf8'))
  await writeFile(file, String(count + 1))
  await release()
}

const solo = connect(`sqlite:${file}.db`)
for (let i = 0; i < Number(times); i++) await (version === 'new' ? solo.withLock('counter', locked) : locked())
await solo.close()
