/** A link of a ring, and as its head an empty ring: joining and leaving cost the same however long the ring is. */
export class Link {
  #prev: Link = this
  #next: Link = this

  /** Whether it is in no ring, or as a head: whether its ring is empty. */
  static isAlone(link: Link): boolean {
    return link.#next === link
  }

  /** The first link of the ring; its head when there is none. */
  static first(head: Link): Link {
    return head.#next
  }

  /** All links of the ring, as of now. */
  static all(head: Link): readonly Link[] {
    const links: Link[] = []
    for (let link = head.#next; link !== head; link = link.#next) links.push(link)
    return links
  }

  /** Puts a link that is alone at the end of the ring. */
  static append(head: Link, link: Link): void {
    const last = head.#prev
    link.#prev = last
    link.#next = head
    last.#next = link
    head.#prev = link
  }

  /** Takes a link out of its ring, if it is in one. */
  static remove(link: Link): void {
    const prev = link.#prev
    const next = link.#next
    prev.#next = next
    next.#prev = prev
    link.#prev = link
    link.#next = link
  }
}
