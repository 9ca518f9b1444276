// Holds a lock in memory, and prints as JSON who owned it and who was shown to.
import { connect } from 'soloist'

async function main() {
  const solo = connect('memory:')
  const told = await solo.withLock('report', async ({ owner }) => {
    const { holders } = await solo.inspect('report')
    return { owner, shown: holders.map(holder => holder.owner) }
  })
  await solo.close()
  console.log(JSON.stringify(told))
}

main()
