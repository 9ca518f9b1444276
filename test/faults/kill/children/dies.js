// A process that makes one operation with locks and kills itself at one boundary of it.
import process from 'node:process'
import { connect } from 'soloist'
import { Boundaries, opener, say } from './boundaries.js'
import { operations } from './operations.js'

const { store, where, prefix, operation, point } = JSON.parse(String(process.argv[2]))
const open = await opener(store, where, prefix)
const boundaries = new Boundaries(point)

/** @param {import('soloist').Lease} lease */
const tell = ({ name, fence }) => say({ name, fence })
const solo = connect(boundaries.around(open()))
const other = connect(open())
await operations[operation]?.({ solo, other, tell })
await solo.close()
await other.close()
say({ places: boundaries.places })
