// What the service's processes have in common: how they are told what to do, and how they end.

export const QUEUE = 'webhooks'

/**
 * What the parent sends first.
 *
 * @typedef {{ redis: import('./redis.js').Address, secret: string }} Settings
 */

/** @typedef {{ step: 'ready', url?: string } | { step: 'start' | 'end' | 'failed', account: string }} Told */

/** Tells the parent something. @param {Told} message */
export function tell(message) {
  process.send?.(message, undefined, undefined, () => {
    // The parent is gone, and with it this process in a moment.
  })
}

let lastFault = ''

/** Prints what a connection reports, once while it says the same: each of a process's clients tries again many times a second. @param {Error} error */
export function printFault({ message }) {
  if (message !== lastFault) console.error(`webhooks, process ${process.pid}: ${message}`)
  lastFault = message
}

/**
 * Runs a process of the service until SIGTERM, or until its parent is gone.
 *
 * @param {(settings: Settings) => Promise<{ ready: { url?: string }, stop: () => Promise<void> }>} start
 */
export function serve(start) {
  // Ctrl-C reaches the parent, too, which ends the others in order.
  process.on('SIGINT', () => {})
  process.once('message', async message => {
    const { ready, stop } = await start(/** @type {Settings} */ (message))
    const end = async () => {
      await stop()
      process.disconnect()
    }
    process.once('SIGTERM', end)
    process.once('disconnect', () => process.exit(0))
    tell({ step: 'ready', ...ready })
  })
}
