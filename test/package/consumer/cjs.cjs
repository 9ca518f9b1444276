// Requires every subpath given. Prints the names they export as JSON.
const [, , ...specifiers] = process.argv
console.log(JSON.stringify(Object.fromEntries(specifiers.map(name => [name, Object.keys(require(name)).sort()]))))
