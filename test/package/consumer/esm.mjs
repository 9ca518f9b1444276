// Imports every subpath given, then holds a lock in memory. Prints what it found as JSON.
const [, , ...specifiers] = process.argv
const names = {}
for (const specifier of specifiers) names[specifier] = Object.keys(await import(specifier)).sort()

const { connect } = await import('soloist')
const solo = connect('memory:')
const held = await solo.withLock(
  'report',
  async lease => (await solo.inspect('report')).holders[0].owner === lease.owner,
)

const unreachable = connect('redis://127.0.0.1:1')
const code = await unreachable.tryLock('report').catch(error => error.code)

await Promise.all([solo.close(), unreachable.close()])
console.log(JSON.stringify({ names, held, code }))
