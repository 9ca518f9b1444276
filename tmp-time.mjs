import { connect } from 'soloist'
const solo = connect('postgres://postgres@127.0.0.1:7555/postgres')
let a = 0, r = 0; const n = 150
for (let i = -20; i < n; i++) { if (i === 0) { a = 0; r = 0 } const t = performance.now(); const l = await solo.lock('u' + i); const u = performance.now(); await l.release(); a += u - t; r += performance.now() - u }
console.log('acquire ms', (a / n).toFixed(2), 'release ms', (r / n).toFixed(2)); await solo.close()
