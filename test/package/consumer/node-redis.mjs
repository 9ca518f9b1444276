// With node-redis alone: what a URL comes to, then a lock through a client of it. Prints both as JSON.
import { createClient } from 'redis'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'

const [, , url] = process.argv
const byUrl = connect(url)
const { code, message } = await byUrl.tryLock('report').catch(error => error)
await byUrl.close()

const client = await createClient({ url }).connect()
const solo = connect(redisBackend(client, { prefix: `package:${process.pid}:` }))
const lease = await solo.lock('report')
const state = await solo.inspect('report')
await lease.release()
await solo.close()
client.destroy()
const shown = state.holders.map(({ owner }) => owner)
console.log(JSON.stringify({ refusal: { code, message }, owner: lease.owner, shown }))
