// @ts-nocheck: it runs in the browser, and the type check of this project knows only Node.
// The part of the timeline that moves: what is under the pointer, and the zoom. Embedded in the page as it is.
const chart = document.querySelector('svg')
const scroll = document.querySelector('.scroll')
const tip = document.querySelector('#tip')
const zoom = document.querySelector('#zoom')
/** Room for one label of the axis, in pixels. */
const LABEL_PX = 64

chart.addEventListener('pointermove', event => {
  const bar = event.target.closest('[data-package]')
  tip.hidden = bar === null
  chart.classList.toggle('focus', bar !== null)
  for (const other of chart.querySelectorAll('.same')) other.classList.remove('same')
  if (bar === null) return
  for (const other of chart.querySelectorAll(`[data-package="${bar.dataset.package}"]`)) other.classList.add('same')
  tip.textContent = bar.dataset.tip
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`
})
chart.addEventListener('pointerleave', () => {
  tip.hidden = true
  chart.classList.remove('focus')
})

/** Shows the finest axis whose labels have room. */
function pickAxis() {
  const axes = [...chart.querySelectorAll('.axis')]
  const fitting = axes.filter(axis => chart.clientWidth / axis.childElementCount >= LABEL_PX / 2)
  const shown = fitting[0] ?? axes.at(-1)
  for (const axis of axes) axis.classList.toggle('shown', axis === shown)
}

zoom.addEventListener('input', () => {
  const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / chart.clientWidth
  chart.style.width = `${100 * 2 ** zoom.value}%`
  scroll.scrollLeft = middle * chart.clientWidth - scroll.clientWidth / 2
  pickAxis()
})
addEventListener('resize', pickAxis)
pickAxis()
