import { setTimeout as sleep } from 'node:timers/promises'

/** What lets time pass in a schema, for the conformance suite: a little of it really, since ages and deadlines tell it. */
export function elapseIn(schema: string, script: (sql: string) => Promise<unknown>): (ms: number) => Promise<void> {
  return async ms => void (await (ms <= 1_000 ? sleep(ms) : script(olderBy(schema, ms))))
}

/**
 * Makes everything in a schema of Soloist's so much older, in milliseconds, as if that time had passed. Fences and tickets stay:
 * they are in the past already.
 */
function olderBy(schema: string, ms: number): string {
  const us = Math.round(ms * 1000)
  const never = '9223372036854775807'
  const back = (column: string) =>
    `${column} = CASE WHEN ${column} = ${never} THEN ${column} ELSE ${column} - ${us} END`
  return `
    UPDATE ${schema}.lock SET ${['until', 'first', 'due'].map(back).join(', ')};
    UPDATE ${schema}.claim SET ${['until', 'since'].map(back).join(', ')};
    UPDATE ${schema}.client SET ${back('seen')};
    UPDATE ${schema}.result SET ${back('until')};
    UPDATE ${schema}.watcher SET ${back('seen')}`
}

/** What sets the clock of a schema, for the conformance suite: the server's own plus what was set in all. */
export function clockIn(schema: string, script: (sql: string) => Promise<unknown>): (ms: number) => Promise<void> {
  let aheadUs = 0
  return async ms => {
    aheadUs += Math.round(ms * 1000)
    await script(
      `CREATE OR REPLACE FUNCTION ${schema}.now_1() RETURNS bigint LANGUAGE sql VOLATILE AS
       $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ${aheadUs} $$`,
    )
  }
}
