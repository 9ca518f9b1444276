/** @typedef {import('./service.js').Event} Event */
/** @typedef {{ event: string, account: string, amount: number, fence: string, worker: number }} Entry a row of the ledger, in their order */

/**
 * What is wrong with a ledger.
 *
 * @param {readonly Entry[]} ledger @param {readonly Event[]} committed @param {readonly Event[]} rolledBack
 * @param {ReadonlyMap<string, number>} balances
 */
export function judge(ledger, committed, rolledBack, balances) {
  /** @type {string[]} */
  const problems = []
  /** @type {Map<string, number>} */
  const times = new Map()
  /** @type {Map<string, { event: bigint, fence: bigint }>} */
  const last = new Map()
  /** @type {Map<string, number>} */
  const sums = new Map()
  for (const { event, account, amount, fence } of ledger) {
    times.set(event, (times.get(event) ?? 0) + 1)
    sums.set(account, (sums.get(account) ?? 0) + amount)
    const before = last.get(account)
    if (before !== undefined && BigInt(event) < before.event)
      problems.push(`${account}: event ${event} came after a later one`)
    if (before !== undefined && BigInt(fence) < before.fence)
      problems.push(`${account}: a holder wrote after a later one`)
    last.set(account, { event: BigInt(event), fence: BigInt(fence) })
  }
  for (const { id } of committed) {
    const often = times.get(id) ?? 0
    if (often !== 1) problems.push(`event ${id} was told ${often} times`)
  }
  for (const { id } of rolledBack) if (times.has(id)) problems.push(`event ${id} was told, and was rolled back`)
  for (const [account, balance] of balances) {
    const told = sums.get(account) ?? 0
    if (told !== balance) problems.push(`${account}: the balance is ${balance}, and ${told} was told`)
  }
  return problems
}
