import { Redis } from 'ioredis'
import { Queue } from 'bullmq'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'
const url='redis://127.0.0.1:7799', connection={host:'127.0.0.1',port:7799}
const r=new Redis(url); await r.flushall()
const solo=connect(url)
const queue=process.argv[2]==='q'?new Queue('bench',{connection}):new SingletonQueue('bench',{connection,singleton:{jobs:{sync:{uniqueOn:['key']}},...(process.argv[2]==='solo'?{solo}:{})}})
let key=0
const run=async ms=>{ const t=performance.now(); let n=0; const c=process.cpuUsage(); await Promise.all(Array.from({length:50},async()=>{ while(performance.now()-t<ms){ await queue.add('sync',{key:++key,text:'some data that is a little longer'}); n++ } })); const u=process.cpuUsage(c); return [n/(performance.now()-t)*1000, (u.user+u.system)/n, n] }
await run(1500); await r.flushall(); await r.config('resetstat')
const x=await run(+process.argv[3]||2500)
console.log(process.argv[2],x.map(v=>v.toFixed(1)).join(' '))
const info=(await r.info('commandstats')).split('\r\n').filter(l=>l.startsWith('cmdstat')).map(l=>{const m=/cmdstat_(\S+):calls=(\d+),usec=(\d+),usec_per_call=([\d.]+)/.exec(l);return [m[1],(m[2]/x[2]).toFixed(2),(m[3]/x[2]).toFixed(1),m[4]]}).sort((a,b)=>b[2]-a[2]).slice(0,14)
console.log(info.map(i=>i.join(' ')).join('\n'))
await queue.close(); await solo.close(); r.disconnect()
