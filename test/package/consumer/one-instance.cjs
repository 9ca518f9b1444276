// The same from CommonJS, which loads it by `require` first.
const required = require('soloist')
const { compare } = require('./compare.cjs')

import('soloist').then(imported => compare(imported, required)).then(found => console.log(JSON.stringify(found)))
