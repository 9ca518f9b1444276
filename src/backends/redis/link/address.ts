import { invalidArgument } from '../../../errors.js'
import type { IoredisOptions } from './ioredis.js'

/** As many as a server can be set up to have. */
const MOST_DATABASES = 2 ** 31 - 1
const SENTINEL_PORT = 26_379
const REDIS = 'redis://user:password@host:6379/0'
const SENTINEL = 'redis+sentinel://user:password@host:26379,host:26379/name/0'
const SOCKET = 'redis+unix:///path/to/socket?db=0'

/**
 * What ioredis is to connect to.
 *
 * @returns the URL itself, or options where ioredis does not know the kind of URL
 * @throws SoloistError `INVALID_ARGUMENT`; the URL is not repeated in the message
 */
export function parseAddress(url: string): string | IoredisOptions {
  const scheme = /^[a-z+]+:/.exec(url)?.[0] ?? ''
  switch (scheme) {
    case 'redis+sentinel:':
    case 'rediss+sentinel:':
      return sentinels(url.slice(scheme.length), scheme.startsWith('rediss'))
    case 'redis+unix:':
    case 'unix:':
      return unixSocket(url.slice(scheme.length))
    default:
      return single(url)
  }
}

function single(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '') {
    throw invalidArgument(`the Redis URL must be like ${REDIS}, or rediss: for TLS, ${SENTINEL}, or ${SOCKET}`)
  }
  // ioredis would take a `db` of the query too, whatever it says.
  if (parsed.searchParams.has('db')) throw wrongDatabase('a Redis URL names its database by its path alone')
  database(parsed.pathname.replace(/^\//, ''), 'a Redis URL names its database by its path alone')
  return url
}

/** As other libraries write it: `redis+sentinel://[user[:password]@]host[:port][,host[:port]…]/name[/database]`. */
function sentinels(rest: string, tls: boolean): IoredisOptions {
  const wrong = () => invalidArgument(`the URL of a primary that sentinels know must be like ${SENTINEL}`)
  const parts = /^\/\/(?:([^@/?#]*)@)?([^/?#@]+)\/([^/?#]+)(?:\/([^/?#]*))?(?:\?([^#]*))?$/.exec(rest)
  if (parts === null) throw wrong()
  const [, login, hosts = '', name = '', db = '', query = ''] = parts
  const parameters = new URLSearchParams(query)
  const known = ['sentinel_username', 'sentinel_password']
  if ([...parameters.keys()].some(key => !known.includes(key))) {
    throw invalidArgument(`the URL of a primary that sentinels know takes ${known.join(' and ')}, and nothing else`)
  }
  return {
    sentinels: hosts.split(',').map(text => hostOf(text, wrong)),
    name: decoded(name, wrong),
    db: database(db, `a database is a number, as in ${SENTINEL}`),
    ...loginOf(login, wrong),
    sentinelUsername: parameters.get('sentinel_username') ?? undefined,
    sentinelPassword: parameters.get('sentinel_password') ?? undefined,
    ...(tls ? { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
  }
}

function hostOf(text: string, wrong: () => Error): { readonly host: string; readonly port: number } {
  const url = `redis://${text}`
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || parsed.hostname === '') throw wrong()
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port: Number(parsed.port || SENTINEL_PORT) }
}

/** As other libraries write it: `redis+unix://[user[:password]@]/path[?db=database]`, or `unix:` in its place. */
function unixSocket(rest: string): IoredisOptions {
  const wrong = () => invalidArgument(`the URL of a Unix socket must be like ${SOCKET}`)
  const parts = /^(?:\/\/(?:([^@/?#]*)@)?)?(\/(?!\/)[^?#]+)(?:\?([^#]*))?$/.exec(rest)
  if (parts === null) throw wrong()
  const [, login, path = '', query = ''] = parts
  const parameters = new URLSearchParams(query)
  if ([...parameters.keys()].some(key => key !== 'db')) throw wrong()
  return {
    path: decoded(path, wrong),
    db: database(parameters.get('db') ?? '', `a database is a number, as in ${SOCKET}`),
    ...loginOf(login, wrong),
  }
}

function loginOf(login: string | undefined, wrong: () => Error): { username?: string; password?: string } {
  if (login === undefined || login === '') return {}
  const [user = '', ...rest] = login.split(':')
  const [username, password] = [decoded(user, wrong), decoded(rest.join(':'), wrong)]
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
}

function decoded(text: string, wrong: () => Error): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong()
  }
}

function database(text: string, message: string): number {
  if (!/^\d*$/.test(text) || Number(text) >= MOST_DATABASES) throw wrongDatabase(message)
  return Number(text)
}

function wrongDatabase(message: string): Error {
  return invalidArgument(`${message}, which is a number`)
}
