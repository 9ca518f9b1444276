import { connect } from 'soloist'
const url=process.argv[2], callers=+process.argv[3], ms=+process.argv[4]||2000
const solo=connect(url)
let n=0; const run=async until=>{ while(performance.now()<until){ const l=await solo.lock('hot',{ttlMs:30000}); n++; await l.release() } }
let until=performance.now()+500
await Promise.all(Array.from({length:callers},()=>run(until)))
n=0; const t=performance.now(); const c=process.cpuUsage(); until=t+ms
await Promise.all(Array.from({length:callers},()=>run(until)))
const u=process.cpuUsage(c); const el=performance.now()-t
console.log(`${callers} callers: ${(n/el*1000).toFixed(0)} hand-overs/s, client ${((u.user+u.system)/n).toFixed(0)} µs each`)
await solo.close()
