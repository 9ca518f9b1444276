// Loaded before anything else: the clock of this process is off by CLOCK_OFFSET_MS.
const offsetMs = Number(process.env.CLOCK_OFFSET_MS ?? 0)
const RealDate = Date

// @ts-expect-error: only what this example calls
globalThis.Date = class extends RealDate {
  /** @param {[] | [number | string | Date]} args */
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + offsetMs)
    else super(args[0])
  }

  /** @override */
  static now() {
    return RealDate.now() + offsetMs
  }
}
