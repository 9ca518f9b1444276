export { sqliteBackend } from './backend.js'
