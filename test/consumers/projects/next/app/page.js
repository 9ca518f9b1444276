export default function Page() {
  return 'at home'
}
