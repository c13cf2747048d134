import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A way to a server that loses what the server answers, or breaks off. */
export class ChaosProxy {
  /** Port of the server on 127.0.0.1; nobody is let through before it is set. */
  target = 0;
  private readonly sockets = new Set<Socket>();
  private dropping = false;

  private constructor(private readonly server: Server) {
    server.on('connection', (inner) => this.join(inner));
  }

  /** On a free port. */
  static async open(): Promise<ChaosProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ChaosProxy(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** From now on, of all connections that there are or come, nothing of what the server says arrives. */
  dropResponses(): void {
    this.dropping = true;
  }

  /** Breaks all connections off; new ones are served as they should be. */
  cut(): void {
    this.dropping = false;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.cut();
    await closed;
  }

  private join(inner: Socket): void {
    const outer = connect(this.target, '127.0.0.1');
    for (const [socket, other] of [[inner, outer], [outer, inner]] as const) {
      this.sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    inner.pipe(outer);
    outer.on('data', (chunk: Buffer) => {
      if (!this.dropping) inner.write(chunk);
    });
  } // prettier-ignore
}
