// What the scripts and this side have to agree on. It is written into the scripts where they are embedded.

/** How often core repeats the oldest claim that waits. */
export const BEAT_MS = 4_000
/** How long a pushed grant stands unconfirmed: longer than a beat, so that a push that was lost is noticed in time. */
export const GRANT_MS = 5_000
/** How long a client counts as alive after it was heard of: three beats. */
export const ALIVE_MS = 12_000
/** How long what only waiters or later fences need is kept after its last use. */
export const IDLE_MS = 60_000
/** How many steps that have something in their way one call does: each may push, and together they take below 1 ms. */
export const LONG_STEPS = 32
/** How many steps one call may have at all. */
export const MOST_STEPS = 128
/** How many holders, and how many waiters, are shown of a lock. */
export const SHOWN = 100
/** How many claims one call shows, a lock's more or less. */
export const SHOWN_AT_ONCE = 400
