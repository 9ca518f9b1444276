import type { Command } from 'commander'
import { connect, defaultUrl, type Soloist, SoloistError } from '../index.js'
import { keyPrefix } from './arguments.js'
import { DefaultStoreError, explain, UsageError } from './failure.js'
import type { Notices } from './output/notices.js'
import { withoutLogins } from './output/text.js'

/** The options every verb has. */
export interface StoreOptions {
  readonly store?: string | undefined
  readonly keyPrefix?: string | undefined
  readonly quiet?: boolean | undefined
  readonly json?: boolean | undefined
}

/** Adds the options every verb has. `json` says what `--json` does. */
export function addStoreOptions(command: Command, json: string): Command {
  return command
    .option('--store <url>', 'redis://…, rediss://…, postgres://… or sqlite:PATH (default: $SOLOIST_URL)')
    .option(
      '--key-prefix <text>',
      'the prefix the locks were connected with (default: $SOLOIST_KEY_PREFIX, else soloist:)',
      keyPrefix('--key-prefix'),
    )
    .option('--json', json)
    .option('--quiet', 'say only what went wrong')
}

/** A store that is open, and how to call it in front of people. */
export interface OpenStore {
  readonly solo: Soloist
  /** Its URL without user and password. */
  readonly label: string
}

/** Opens the store for `work`, says which one when nobody chose it, and closes it whatever happens. */
export async function withStore<T>(
  options: StoreOptions,
  notices: Notices,
  work: (store: OpenStore) => Promise<T>,
): Promise<T> {
  const chosen = options.store ?? (process.env.SOLOIST_URL || undefined)
  const url = chosen ?? defaultUrl()
  if (url.startsWith('memory:')) {
    throw new UsageError('the memory: store is gone when this command ends, so it cannot guard anything')
  }
  const prefix = options.keyPrefix ?? keyPrefixFromEnvironment()
  const solo = chosen === undefined ? openDefault(url, prefix) : connect(url, { prefix })
  const label = withoutLogins(url)
  if (chosen === undefined) {
    notices.info('store', `no --store and no SOLOIST_URL: using ${label}, for the processes of this user only`, {
      store: label,
    })
  }
  const [worked] = await Promise.allSettled([work({ solo, label })])
  const [closed] = await Promise.allSettled([solo.close()])
  if (worked.status === 'rejected') throw worked.reason
  // The result stands, whatever became of the connection.
  if (closed.status === 'rejected') notices.problem('close', explain(closed.reason).message)
  return worked.value
}

function openDefault(url: string, prefix: string | undefined): Soloist {
  try {
    return connect(url, { prefix })
  } catch (error) {
    if (!(error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE')) throw error
    throw new DefaultStoreError('the default store cannot be opened', { cause: error })
  }
}

function keyPrefixFromEnvironment(): string | undefined {
  const text = process.env.SOLOIST_KEY_PREFIX
  return text ? keyPrefix('SOLOIST_KEY_PREFIX')(text) : undefined
}
