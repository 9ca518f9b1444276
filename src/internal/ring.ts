/** A link of a ring, and as its head an empty ring: joining and leaving cost the same however long the ring is. */
export class Link {
  prev: Link = this
  next: Link = this

  /** Whether it is in no ring, or as a head: whether its ring is empty. */
  get alone(): boolean {
    return this.next === this
  }
}

/** Puts a link that is alone at the end of the ring. */
export function append(head: Link, link: Link): void {
  link.prev = head.prev
  link.next = head
  head.prev.next = link
  head.prev = link
}

/** Takes a link out of its ring, if it is in one. */
export function unlink(link: Link): void {
  link.prev.next = link.next
  link.next.prev = link.prev
  link.prev = link
  link.next = link
}
