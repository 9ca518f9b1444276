/** What the service's tables are, and how a transaction is run. */
export const TABLES = `
  CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
  -- What is to be told elsewhere, written together with what it is about.
  CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, amount int NOT NULL);
  CREATE INDEX outbox_account ON outbox (account, id);
  -- What was told. No constraint keeps an event from being in it twice, as none would elsewhere.
  CREATE TABLE ledger (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event bigint NOT NULL, account text NOT NULL,
    amount int NOT NULL, fence bigint NOT NULL, worker int NOT NULL)`

/** Who listens to it is told the account of whatever comes into the outbox. */
export const CHANNEL = 'outbox'

/**
 * Commits what `work` did, unless it throws.
 *
 * @template T @param {import('pg').Pool} pool @param {(tx: import('pg').PoolClient) => Promise<T>} work @returns {Promise<T>}
 */
export async function transaction(pool, work) {
  const tx = await pool.connect()
  try {
    await tx.query('BEGIN')
    const result = await work(tx)
    await tx.query('COMMIT')
    return result
  } catch (error) {
    await tx.query('ROLLBACK')
    throw error
  } finally {
    tx.release()
  }
}
