// Judges a run of test/chaos again by the files it left, without any server: npm run judge -- .chaos/redis-7
import { checkHistoryParts } from '../dist/conformance/index.js'
import { historyParts } from '../test/chaos/history-parts.js'

const [folder = '.'] = process.argv.slice(2)
const { violations, counts } = checkHistoryParts(historyParts(folder), { wakeUpMs: 8_000 })
console.log(counts)
for (const { kind, name, message } of violations) console.log(`${kind} ${name}: ${message}`)
console.log(violations.length === 0 ? 'nothing is wrong with it' : `${violations.length} violations`)
process.exitCode = violations.length === 0 ? 0 : 1
