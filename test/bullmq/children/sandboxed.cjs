// A processor in a process or a thread of its own: waits until it is told to stop, or a moment, and tells what it was given.
module.exports = async (job, _token, signal) => {
  const { value } = job.data
  if (value === 1) {
    await new Promise(resolve => {
      const timer = setTimeout(resolve, 20_000)
      const stop = () => {
        clearTimeout(timer)
        resolve()
      }
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop)
    })
  }
  const { code, message } = signal.reason ?? {}
  return { value, fence: job.opts.singleton.fence, aborted: signal.aborted, code, message }
}
