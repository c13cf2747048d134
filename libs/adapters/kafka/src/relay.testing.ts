import type { ISocketFactory } from 'kafkajs';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** Keys of requests in Kafka's protocol. */
export const PRODUCE = 0;
export const OFFSET_COMMIT = 8;

/** `cut`: the connection breaks as soon as the answer comes; `swallow`: the answer never arrives. */
export type LostAnswer = 'cut' | 'swallow';

const LENGTH_BYTES = 4;
const PREFIX_BYTES = 10;

/**
 * A proxy between a client and its broker that forwards every request and can lose answers: the broker has executed a
 * request, but the client does not know.
 */
export class Relay {
  /** Returns whether and how to lose the answer to a request. */
  mishap: (apiKey: number) => LostAnswer | undefined = () => undefined;
  /** Changes an answer before it is forwarded. */
  alter: (frame: Buffer) => void = () => undefined;
  /** Number of lost answers. */
  lost = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: { readonly host: string; readonly port: number },
  ) {}

  static async to(url: string): Promise<Relay> {
    const [host = '', port] = url.split(':');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const relay = new Relay(server, { host, port: Number(port) });
    server.on('connection', (outer) => relay.join(outer));
    return relay;
  }

  /** Makes clients connect to this proxy, whatever broker they ask for. */
  readonly socketFactory: ISocketFactory = ({ onConnect }) =>
    connect({ port: (this.server.address() as AddressInfo).port, host: '127.0.0.1' }, onConnect);

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(outer: Socket): void {
    const inner = connect(this.target);
    const befalls = new Map<number, LostAnswer>();
    const requests = new Frames((frame) => {
      const mishap = this.mishap(frame.readInt16BE(LENGTH_BYTES));
      if (mishap) befalls.set(frame.readInt32BE(LENGTH_BYTES + 4), mishap);
    });
    const answers = new Frames((frame) => {
      const correlation = frame.readInt32BE(LENGTH_BYTES);
      const mishap = befalls.get(correlation);
      befalls.delete(correlation);
      if (mishap) this.lost++;
      if (mishap === 'cut') outer.destroy();
      if (mishap !== undefined || !outer.writable) return;
      this.alter(frame);
      outer.write(frame);
    });
    outer.on('data', (chunk) => {
      requests.add(chunk);
      inner.write(chunk);
    });
    inner.on('data', (chunk) => answers.add(chunk));
    for (const [socket, other] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
  }
}

/** Splits a byte stream into length-prefixed requests or answers. */
class Frames {
  private rest = Buffer.alloc(0);

  constructor(private readonly take: (frame: Buffer) => void) {}

  add(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    while (this.rest.length >= PREFIX_BYTES) {
      const length = LENGTH_BYTES + this.rest.readInt32BE();
      if (this.rest.length < length) return;
      this.take(this.rest.subarray(0, length));
      this.rest = this.rest.subarray(length);
    }
  }
}

const MAGIC = 16;
const ATTRIBUTES = 22;
const SNAPPY = 2;

/** Marks the batch that contains a text as compressed with a codec that kafkajs cannot read. Returns whether it was found. */
export const spoil = (frame: Buffer, text: string): boolean => {
  const at = frame.indexOf(text);
  for (let batch = at; batch >= 0; batch--) {
    if (frame[batch + MAGIC] !== 2 || (frame[batch + ATTRIBUTES] ?? 0) > 8) continue;
    const end = batch + 12 + frame.readInt32BE(batch + 8);
    if (end <= at || end > frame.length || frame.readBigInt64BE(batch) < 0n) continue;
    frame[batch + ATTRIBUTES] = (frame[batch + ATTRIBUTES] ?? 0) | SNAPPY;
    return true;
  }
  return false;
};
