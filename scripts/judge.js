// Judges a run of test/chaos again by the files it left, without any server: npm run judge -- .chaos/redis-7
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkHistory } from '../dist/conformance/index.js'

const [folder = '.'] = process.argv.slice(2)
const files = readdirSync(folder)
  .filter(file => file.endsWith('.jsonl'))
  .sort()
const history = files.map(file => readFileSync(join(folder, file), 'utf8')).join('\n')
const { violations, counts } = checkHistory(history, { wakeUpMs: 8_000 })
console.log(counts)
for (const { kind, name, message } of violations) console.log(`${kind} ${name}: ${message}`)
console.log(violations.length === 0 ? 'nothing is wrong with it' : `${violations.length} violations`)
process.exitCode = violations.length === 0 ? 0 : 1
