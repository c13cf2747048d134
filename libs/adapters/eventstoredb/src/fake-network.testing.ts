import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/**
 * The network in front of a server: a port that forwards bytes, and that a test can shut, cut or freeze as failing
 * networks, crashed servers and stopped processes do.
 */
export class FakeNetwork {
  private server: Server | undefined;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isFrozen = false;
  private isTurningAway = false;
  port = 0;
  /** Number of connections that were broken as soon as they were established. */
  turnedAway = 0;

  constructor(private readonly target: number) {}

  /** Accepts connections, on the same port as before. */
  async open(): Promise<void> {
    this.isTurningAway = false;
    if (this.server) return;
    const server = createServer((outer) => this.join(outer));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const pair of [...this.pairs]) for (const socket of pair) socket.destroy();
  }

  /** Breaks new connections; established ones stay. */
  turnAway(): void {
    this.isTurningAway = true;
  }

  /** Breaks every connection and refuses new ones. */
  async shut(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    this.cut();
    await closed;
  }

  /** Forwards nothing and breaks nothing, as if the server process were stopped. */
  freeze(): void {
    this.isFrozen = true;
    for (const pair of this.pairs) for (const socket of pair) socket.pause();
  }

  unfreeze(): void {
    this.isFrozen = false;
    for (const pair of this.pairs) for (const socket of pair) socket.resume();
  }

  private join(outer: Socket): void {
    if (this.isTurningAway) {
      this.turnedAway++;
      outer.destroy();
      return;
    }
    const inner = connect(this.target, '127.0.0.1');
    const pair = [outer, inner] as const;
    this.pairs.add(pair);
    for (const [from, to] of [pair, [inner, outer] as const]) {
      from.setNoDelay(true);
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        this.pairs.delete(pair);
      });
      if (this.isFrozen) from.pause();
    }
  }
}
