import { hostname } from 'node:os'

/**
 * A name for this client that no other client has: `host:pid:random`, so that whoever reads an owner in the datastore
 * knows where to look. The random part is 96 bits. Never holds a space or a slash.
 */
export function newClientId(): string {
  // Loaded here, since it takes as long as all of this library.
  const { randomBytes } = process.getBuiltinModule('node:crypto')
  const host = hostname().replace(/[^\w.-]/g, '-') || 'host'
  return `${host}:${process.pid}:${randomBytes(12).toString('hex')}`
}
