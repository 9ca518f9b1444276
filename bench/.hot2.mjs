import { contender } from './contender.js'
import { hot } from './measures/in-process.js'
import { setTimeout as sleep } from 'node:timers/promises'
const s=await contender('Soloist', process.argv[2])
for(let i=0;i<6;i++){ const r=await hot(s,{callers:+process.argv[3],ms:500,lock:'hotb'}); console.log((r.handOvers/r.ms*1000).toFixed(0), (r.cpuUs/r.handOvers).toFixed(0)); await sleep(+process.argv[4]) }
await s.close(); process.exit()
