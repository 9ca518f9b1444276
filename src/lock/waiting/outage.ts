/** After a question that failed the next one follows within this long, and not before half of it. */
export const RETRY_MS = 500
/** A backend that has not answered for this long ends what waits for it. */
export const OUTAGE_MS = 30_000
