/**
 * What people call an option who come from another library, by its name here: in lower case, without separators and without
 * a unit at the end. A word may stand for several.
 */
const OTHER_NAMES: { readonly [name: string]: readonly string[] } = {
  waitMs: [
    ...['timeout', 'waittimeout', 'waittime', 'waitfor', 'maxwait', 'maxwaittime', 'acquiretimeout', 'acquiretime'],
    ...[
      'acquisitiontimeout',
      'blocking',
      'blockingtimeout',
      'blocktimeout',
      'patience',
      'retry',
      'retries',
      'retrycount',
    ],
    ...['retrydelay', 'retryinterval', 'retryjitter', 'retrytimeout', 'maxretries', 'attempts', 'maxattempts', 'delay'],
    ...['acquireattemptslimit', 'maxpending', 'maxoccupationtime', 'maxexecutiontime'],
  ],
  ttlMs: [
    ...['timeout', 'locktimeout', 'lockttl', 'lockduration', 'locktime', 'duration', 'lease', 'leasetime', 'leasettl'],
    ...[
      'leaseduration',
      'expire',
      'expires',
      'expiry',
      'expiration',
      'expirein',
      'expiresin',
      'expireafter',
      'ex',
      'px',
    ],
    ...['stale', 'maxage', 'timetolive', 'lockatmostfor', 'refreshinterval', 'renewinterval', 'renew', 'autorenew'],
    ...['extend', 'autoextend', 'automaticextensionthreshold', 'heartbeat', 'update', 'updateinterval'],
  ],
  holdForMs: ['hold', 'holdtime', 'keep', 'keepfor', 'mintime', 'minhold', 'lockatleastfor'],
  signal: ['abort', 'abortsignal', 'cancel', 'canceltoken', 'controller', 'abortcontroller'],
  meta: ['metadata', 'info', 'label', 'description', 'comment', 'data', 'value', 'identifier', 'reason'],
  prefix: ['keyprefix', 'namespace', 'lockprefix', 'match', 'pattern', 'startswith'],
  callTimeoutMs: ['timeout', 'commandtimeout', 'requesttimeout', 'connecttimeout'],
  uniqueOn: ['unique', 'uniqueby', 'uniquekey', 'uniqueargs', 'key', 'keys', 'keyby', 'dedupkey', 'fields', 'id'],
  onDuplicate: ['strategy', 'onconflict', 'conflict', 'duplicate', 'duplicates'],
  expiryMs: ['expire', 'expires', 'expiration', 'period', 'interval', 'window', 'throttle', 'debounce'],
  attempts: ['retry', 'retries', 'retrycount', 'maxretries', 'maxattempts', 'tries'],
  backoffMs: ['retrydelay', 'retryinterval', 'delay'],
  resultTtlMs: ['keepresult', 'resultttl', 'resultexpires', 'removeoncomplete'],
  force: ['forced', 'all', 'any'],
  owner: ['holder', 'token', 'identifier', 'value', 'id'],
}

/** Which of the options in `known` somebody means by `name`. */
export function meantBy(name: string, known: readonly string[]): readonly string[] {
  const word = bare(name)
  return known.filter(option => {
    const others = Object.hasOwn(OTHER_NAMES, option) ? (OTHER_NAMES[option] as readonly string[]) : []
    return bare(option) === word || others.includes(word)
  })
}

/** `acquire_timeout`, `acquireTimeoutMS` and `acquireTimeout` are one word. */
function bare(name: string): string {
  const letters = name.toLowerCase().replace(/[^a-z]/g, '')
  return letters.replace(/(?<=.)(?:ms|millis|milliseconds|secs|seconds)$/, '')
}
