// One contender in a process of its own: does what each message asks, and answers with what it measured.
// Arguments: the contender's name, the URL of its store.
import { contender } from './contender.js'
import { free, hold, hot, idle } from './measures/in-process.js'

const [name = '', url = ''] = process.argv.slice(2)
const subject = await contender(name, url)
/** @type {Record<string, (subject: import('./contender.js').Contender, options: any) => Promise<object>>} */
const measures = { free, hold, hot, idle }

process.on('message', async (/** @type {{ measure: string, options: any }} */ { measure, options }) => {
  const work = measures[measure]
  if (work === undefined) throw new Error(`there is nothing to measure called ${measure}`)
  process.send?.(await work(subject, options))
})
process.once('disconnect', async () => {
  await subject.close()
  process.exit()
})
process.send?.('ready')
