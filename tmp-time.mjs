import pg from 'pg'
import { postgresBackend } from 'soloist/postgres'
const url = 'postgres://postgres@127.0.0.1:7555/postgres'
const t0 = performance.now(); const lap = (what) => console.log(what, (performance.now() - t0).toFixed(0))
const pool = new pg.Pool({ connectionString: url, max: 60 })
const mk = (n) => { const b = postgresBackend(pool, { prefix: 'x' + Math.random() + ':' }); b.open(n, () => {}); return b }
const a = mk('A')
const claim = (name, owner, x) => ({ name, owner, mode: 'exclusive', limit: null, ttlMs: 60000, meta: null, ...x })
await a.run([{ kind: 'acquire', claim: claim('l', 'o'), ticket: null, replaces: null }]); lap('first acquire with setup')
await a.run([{ kind: 'acquire', claim: claim('l', 'p'), ticket: 'new', replaces: null }]); lap('queued')
await a.run([{ kind: 'release', name: 'l', owner: 'o', result: null }]); lap('handed')
for (let i = 0; i < 20; i++) { await a.run([{ kind: 'acquire', claim: claim('m' + i, 'p', { mode: 'shared' }), ticket: 'new', replaces: null }]) } lap('20 shared')
for (let i = 0; i < 20; i++) { await a.run([{ kind: 'release', name: 'm' + i, owner: 'p', result: null }]) } lap('20 released')
for (let i = 0; i < 20; i++) { await a.inspect('m' + i) } lap('20 inspected')
const c = new pg.Client(url); await c.connect(); lap('connect'); 
const b = postgresBackend(c, { prefix: 'y:' }); b.open('B', () => {})
await b.run([{ kind: 'acquire', claim: claim('l', 'o'), ticket: null, replaces: null }]); lap('first acquire on a new connection')
await b.run([{ kind: 'acquire', claim: claim('l', 'p'), ticket: 'new', replaces: null }]); lap('queued')
await b.inspect('l'); lap('inspect')
await a.close(); lap('closed'); await c.end(); await pool.end(); lap('end')
