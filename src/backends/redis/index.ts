export { type RedisBackendOptions, redisBackend } from './backend.js'
export type { IoredisClient, IoredisOptions } from './link/ioredis.js'
export type { NodeRedis, NodeRedisClient, NodeRedisCluster, NodeRedisSentinel } from './link/node-redis.js'
export type { RedisClient } from './link/open.js'
