// Many candidates in one process. Argument: the store's URL. Moments are milliseconds of the monotonic clock, which all
// processes of a machine share.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { answer } from '../../support/crowd-member.js'

// On a busy machine thousands of calls for one SQLite file take longer than a call may by default.
const solo = connect(process.argv[2], { callTimeoutMs: 60_000 })
const now = () => Number(process.hrtime.bigint()) / 1e6
let leaders = []
/** What became of each campaign that has ended: `null`, or the code of its error. */
const ends = []
const terms = []
let passes = false

function candidate(name) {
  const leader = solo.leader(name)
  leader.campaign().then(
    () => ends.push(null),
    error => ends.push(error.code),
  )
  leader.on('elected', term => {
    if (!passes) return
    const seen = { fence: term.fence, fromMs: now(), untilMs: now() }
    if (!term.isValid) return
    seen.untilMs = now()
    terms.push(seen)
    void leader.resign()
  })
  return leader
}

answer({
  /** All of these candidates stand at once. */
  stand(names) {
    leaders = names.map(candidate)
  },
  /** The places of those that lead at this moment. */
  leading: () => leaders.flatMap((leader, i) => (leader.isLeader ? [i] : [])),
  /** From now on each resigns as soon as it leads. Those terms are told once some have been seen. */
  async pass(count) {
    passes = true
    for (const leader of leaders) if (leader.isLeader) void leader.resign()
    while (terms.length < count) await sleep(5)
    return terms
  },
  /** Ends this client in the middle of all that. */
  async close() {
    await solo.close()
    return { ends: ends.filter(end => end !== null), leading: leaders.filter(({ isLeader }) => isLeader).length, terms }
  },
})
