import { Redis } from 'ioredis'
import { scripts } from '../dist/internal/generated/redis.js'
const r=new Redis('redis://127.0.0.1:7799'); await r.flushall()
const text=scripts.steps.source; console.log('bytes',text.length)
const sha=await r.script('load',text)
const settings='1 0 5000 12000 40 0'
const K=n=>['f{x}','l'+n,'l'+n+':q','l'+n+':d']
const A=['ch','client','60000',settings]
const time=async(label,fn)=>{ await r.config('resetstat'); for(let i=0;i<4000;i++) await fn(i); const m=/cmdstat_evalsha:calls=(\d+),usec=\d+,usec_per_call=([\d.]+)/.exec(await r.info('commandstats')); console.log(label,m[2],'µs') }
await time('release not held (long way)',()=>r.evalsha(sha,4,...K(1),...A,'o1',''))
await time('acquire, free (alone)',i=>r.evalsha(sha,4,...K('a'+i),...A,'o1','30000'))
await r.evalsha(sha,4,...K(2),...A,'o1','30000')
await time('acquire held, client hears',i=>r.evalsha(sha,4,...K(2),...A,'w'+i,'30000'))
const empty=await r.script('load',"return 1")
await time('empty',()=>r.evalsha(empty,4,...K(1),...A,'o1',''))
r.disconnect()
