/** @typedef {import('./store.js').Entry} Entry */

/**
 * What became of one account.
 *
 * @typedef {object} AccountRow
 * @property {string} account
 * @property {number} deliveries
 * @property {number} received requests that reached the receiver, those that came again included
 * @property {number} runs
 * @property {number} delivered the version that was delivered last
 * @property {number} synced the version at the target; 0: none
 */

/**
 * What the journal says, read in its order.
 *
 * @typedef {object} Judgement
 * @property {Record<string, number>} statuses how often each outcome of a trigger was answered
 * @property {{ completed: number, failed: number, killed: number }} runs
 * @property {Map<string, number>} runsOf by account
 * @property {string[]} overlaps runs that began while another of their account went on
 * @property {string[]} uncovered deliveries without a run that began after them, wrote their version or a later one, and ended
 * @property {string[]} backwards runs whose fence is not higher than that of the one before
 */

/** @param {readonly Entry[]} entries @returns {Judgement} */
export function judge(entries) {
  /** @type {Judgement} */
  const judgement = {
    statuses: {},
    runs: { completed: 0, failed: 0, killed: 0 },
    runsOf: new Map(),
    overlaps: [],
    uncovered: [],
    backwards: [],
  }
  /** Runs that go on, by account: there is at most one. @type {Map<string, { pid: number, run: string, at: number }>} */
  const open = new Map()
  /** @type {Map<string, number>} */
  const fences = new Map()
  /** Runs that ended well, by account. @type {Map<string, { at: number, version: number }[]>} */
  const ended = new Map()
  for (const [
    at,
    { step, account = '', run = '', pid = 0, fence = 0, version = 0, status = '' },
  ] of entries.entries()) {
    const present = open.get(account)
    switch (step) {
      case 'accepted':
        judgement.statuses[status] = (judgement.statuses[status] ?? 0) + 1
        break
      case 'start':
        if (present !== undefined) judgement.overlaps.push(`${account}: run ${run} began during run ${present.run}`)
        if (fence <= (fences.get(account) ?? 0))
          judgement.backwards.push(`${account}: run ${run} has fence ${fence}, an earlier run a higher one`)
        fences.set(account, fence)
        open.set(account, { pid, run, at })
        judgement.runsOf.set(account, (judgement.runsOf.get(account) ?? 0) + 1)
        break
      case 'end':
      case 'failed':
        judgement.runs[step === 'end' ? 'completed' : 'failed'] += 1
        if (present?.run !== run) break
        open.delete(account)
        if (step === 'end') ended.set(account, [...(ended.get(account) ?? []), { at: present.at, version }])
        break
      case 'killed':
        for (const [of, { pid: its }] of open) {
          if (its !== pid) continue
          open.delete(of)
          judgement.runs.killed += 1
        }
    }
  }
  for (const [at, { step, account = '', version = 0, delivery }] of entries.entries()) {
    if (step !== 'received') continue
    const covered = ended.get(account)?.some(run => run.at > at && run.version >= version)
    if (!covered) judgement.uncovered.push(`${account}: no run covers delivery ${delivery} of version ${version}`)
  }
  return judgement
}

/** The accounts that a process was syncing when it was killed. @param {readonly Entry[]} entries @param {number} pid */
export function interrupted(entries, pid) {
  const accounts = new Set()
  for (const { step, account, pid: of } of entries) {
    if (of !== pid) continue
    if (step === 'start') accounts.add(account)
    else accounts.delete(account)
  }
  return /** @type {string[]} */ ([...accounts])
}
