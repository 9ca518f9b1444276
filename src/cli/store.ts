import { isAbsolute } from 'node:path'
import type { Command } from 'commander'
import { connect, defaultUrl, type Soloist, SoloistError } from '../index.js'
import { keyPrefix } from './arguments.js'
import { DefaultStoreError, explain, systemCode, UsageError } from './failure.js'
import type { Notices } from './notices.js'
import { withoutLogins } from './text.js'

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
    .option('--store <url>', 'redis://…, rediss://… or sqlite:PATH (default: $SOLOIST_URL)')
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
  const url = chosen ?? defaultStore()
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

/** The default store, if that is the same file whatever the working directory is: else two would not exclude each other. */
function defaultStore(): string {
  const { XDG_STATE_HOME: stateHome } = process.env
  if (stateHome && !isAbsolute(stateHome)) throw noDefaultStore('XDG_STATE_HOME is no absolute path')
  let url: string
  try {
    url = defaultUrl()
  } catch (error) {
    // What the system answers when HOME is not set and the user has no entry in its list.
    if (systemCode(error) === 'ERR_SYSTEM_ERROR') throw noDefaultStore('this user has no home')
    throw error
  }
  if (!isAbsolute(url.slice('sqlite:'.length))) throw noDefaultStore('HOME is no absolute path')
  return url
}

function noDefaultStore(why: string): UsageError {
  return new UsageError(`there is no place for the default store, since ${why}; name a store by --store or SOLOIST_URL`)
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
