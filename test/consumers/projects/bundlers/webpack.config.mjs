export default {
  mode: 'production',
  target: 'node20',
  entry: './app.mjs',
  output: { filename: 'app.cjs' },
}
