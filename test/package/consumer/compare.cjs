/** Whether an error of the one is an error of the other, and both meet in one store. */
exports.compare = async (imported, required) => {
  const error = await imported
    .connect('memory:')
    .lock('')
    .catch(cause => cause)
  const store = new required.MemoryStore()
  const [one, other] = [imported, required].map(({ connect, memoryBackend }) => connect(memoryBackend({ store })))
  const lease = await one.lock('report')
  const state = await other.inspect('report')
  const second = await other.tryLock('report')
  await lease.release()
  await Promise.all([one.close(), other.close()])
  return {
    sameError: error instanceof required.SoloistError && error.constructor === imported.SoloistError,
    sameHolder: second === null && state.holders[0].owner === lease.owner,
  }
}
