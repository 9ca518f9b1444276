// Holds a lock of the store given. Prints whom the store shows as its holder, and who holds it.
import { connect } from 'soloist'

const solo = connect(process.argv[2], { prefix: `package:${process.pid}:` })
const lease = await solo.lock('report')
const state = await solo.inspect('report')
console.log(JSON.stringify({ shown: state.holders.map(({ owner }) => owner), owner: lease.owner }))
await lease.release()
await solo.close()
