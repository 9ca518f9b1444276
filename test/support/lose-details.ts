import { Redis } from 'ioredis'

/** Makes some Redis servers lose what is noted of the locks of a prefix, as an eviction would. */
export function losesDetails(urls: readonly string[]): (prefix: string) => Promise<void> {
  return async prefix => {
    for (const url of urls) {
      const redis = new Redis(url)
      const keys = await redis.keys(`{${prefix}*}:d2`)
      for (const key of keys) await redis.del(key)
      redis.disconnect()
    }
  }
}
