/** The code of an error reply: by the protocol, the first word of what the server says. Not a reply: `undefined`. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || 'syscall' in error) return undefined
  return /^[A-Z][A-Z\d]{2,}(?= |$)/.exec(error.message)?.[0]
}

/** By these a server tells that it is not the one to ask: it was demoted, loads its data, or lost its replicas. */
const WRONG_SERVER = new Set(['READONLY', 'LOADING', 'MASTERDOWN', 'NOREPLICAS'])

/** By these a cluster tells that the same question will be answered soon. */
const SOON = new Set(['TRYAGAIN', 'CLUSTERDOWN'])

export function isWrongServer(code: string | undefined): boolean {
  return code !== undefined && WRONG_SERVER.has(code)
}

export function isSoon(code: string | undefined): boolean {
  return code !== undefined && SOON.has(code)
}

/** Another server of a cluster has the key. */
export function isRedirection(code: string | undefined): boolean {
  return code === 'MOVED' || code === 'ASK'
}

/** ioredis hangs the command on the error: a whole script, and arguments that are nobody's business in a log. */
export function withoutCommand(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  return error
}
