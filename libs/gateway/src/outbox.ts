/** So many answers go out together at most, as the first of them waits for the last one to be made. */
const TOGETHER_MAX = 32;

/**
 * Sends what one turn of the event loop has to answer in a row, at the end of that turn. A write to a socket wakes who
 * reads there. Where this process works on between two writes, a reader who takes several answers is asleep again by
 * the next one, and waking it is most of what a write costs; in a row, it is woken once. An answer that is alone in its
 * turn does not wait: the end of a turn follows the reading of sockets at once.
 */
export class Outbox {
  private waiting: (() => void)[] = [];
  private readonly sendAll = (): void => {
    const { waiting } = this;
    this.waiting = [];
    for (const send of waiting) send();
  };

  /** `send` is called by the end of this turn, in the order in which they came. Must not throw. */
  add(send: () => void): void {
    const count = this.waiting.push(send);
    if (count === 1) setImmediate(this.sendAll);
    else if (count === TOGETHER_MAX) this.sendAll();
  }
}
