export { type RedisBackendOptions, redisBackend } from './backend.js'
export type { RedisClient } from './client.js'
export type { IoredisClient } from './ioredis.js'
export type { NodeRedisClient, NodeRedisCluster } from './node-redis.js'
