// The service itself: it changes balances, and what is to be told of a change is written in the same transaction.
import { randomInt } from 'node:crypto'
import { CHANNEL, transaction } from './tables.js'

/** @typedef {{ id: string, account: string, amount: number }} Event */

/** Why a transaction was given up, as any may be. */
class Declined extends Error {}

/**
 * One change of one account. On commit there is an event of it, and whoever listens is told; on rollback neither.
 *
 * @param {import('pg').Pool} pool @param {string} account
 * @returns {Promise<{ event: Event, committed: boolean }>}
 */
export async function book(pool, account) {
  const amount = randomInt(1, 100)
  let id = ''
  try {
    await transaction(pool, async tx => {
      await tx.query('UPDATE account SET balance = balance + $2 WHERE name = $1', [account, amount])
      const { rows } = await tx.query('INSERT INTO outbox (account, amount) VALUES ($1, $2) RETURNING id', [
        account,
        amount,
      ])
      id = rows[0].id
      await tx.query('SELECT pg_notify($1, $2)', [CHANNEL, account])
      if (randomInt(5) === 0) throw new Declined()
    })
    return { event: { id, account, amount }, committed: true }
  } catch (error) {
    if (!(error instanceof Declined)) throw error
    return { event: { id, account, amount }, committed: false }
  }
}
