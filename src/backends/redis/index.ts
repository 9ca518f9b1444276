export { redisBackend } from './backend.js'
