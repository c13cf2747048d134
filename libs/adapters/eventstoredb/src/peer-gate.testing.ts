import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/**
 * The wire to a server: a port of its own that passes bytes on, and can be shut, cut or held as networks, crashes and
 * stopped processes do.
 */
export class Gate {
  private server: Server | undefined;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isHeld = false;
  private isTurningAway = false;
  port = 0;
  /** Connections that were broken as soon as they stood. */
  turnedAway = 0;

  constructor(private readonly target: number) {}

  /** Takes connections, at the port that it had before. */
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

  /** Breaks new connections from now on; those that there are stand. */
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

  /** Passes nothing on and breaks nothing, as a stopped process. */
  hold(): void {
    this.isHeld = true;
    for (const pair of this.pairs) for (const socket of pair) socket.pause();
  }

  letGo(): void {
    this.isHeld = false;
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
      if (this.isHeld) from.pause();
    }
  }
}
