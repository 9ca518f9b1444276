// A process that makes one operation with a job and kills itself at one boundary of it.
import { once } from 'node:events'
import process from 'node:process'
import { connect } from 'soloist'
import { Boundaries, opener, say } from './boundaries.js'
import { operations } from './jobs.js'

const { store, where, prefix, operation, kind, point } = JSON.parse(String(process.argv[2]))
const open = await opener(store, where, prefix)
const boundaries = new Boundaries(point)
const going = once(process, 'message')

const told = async () => {
  process.send?.('there')
  await going
}
const solo = connect(boundaries.around(open()))
const other = connect(open())
await operations[operation]?.({ solo, other, kind, told })
await solo.close()
await other.close()
say({ places: boundaries.places })
process.disconnect()
