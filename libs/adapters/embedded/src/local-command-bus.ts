import { type CommandReply, RekeyError, streamOf } from '@rekey/contracts';
import { type Clock, CommandBus, type CommandHandler, type CommandRequest, KeyedQueue } from '@rekey/ports';

export interface LocalCommandBusOptions {
  /** How many commands are handled at the same time. */
  readonly concurrency?: number;
  /** How many commands may wait. More are rejected with `unavailable`. */
  readonly waitingMax?: number;
}

const CONCURRENCY = 64;
const WAITING_MAX = 10_000;

/**
 * A bus inside one process. Handles commands to one stream one at a time, in the order in which they were sent, and those
 * to other streams concurrently. A command whose timeout ends before its turn is withdrawn: `unavailable`, it was not
 * executed. If it is being handled by then, its sender gets `timeout`, and the handler finishes it. The sender gets what
 * the handler throws.
 */
export class LocalCommandBus extends CommandBus {
  private handler: CommandHandler | undefined;
  private closed = false;
  private readonly queue: KeyedQueue;
  private readonly waitingMax: number;

  constructor(
    private readonly clock: Clock,
    options: LocalCommandBusOptions = {},
  ) {
    super();
    this.queue = new KeyedQueue(options.concurrency ?? CONCURRENCY);
    this.waitingMax = options.waitingMax ?? WAITING_MAX;
  }

  async serve(handler: CommandHandler): Promise<void> {
    if (this.handler) throw new Error('The bus has a handler already.');
    this.handler = handler;
  }

  send(request: CommandRequest, timeoutMs: number): Promise<CommandReply> {
    const { handler } = this;
    if (this.closed || !handler) return Promise.reject(notExecuted('This process is not accepting commands.'));
    if (this.queue.waiting >= this.waitingMax) return Promise.reject(notExecuted('Too many commands are waiting.'));
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.clock.schedule(timeoutMs, () => reject(withdraw() ? notStarted() : unknownOutcome()));
      const withdraw = this.queue.add(streamOf(request.command), async () => {
        try {
          resolve(await handler(request));
        } catch (error) {
          reject(error);
        } finally {
          cancelTimeout();
        }
      });
    });
  }

  /** Accepts no more commands, and resolves when those that were sent are handled. */
  async close(): Promise<void> {
    this.closed = true;
    await this.queue.idle();
  }
}

const notExecuted = (message: string): RekeyError => new RekeyError('unavailable', message);
const notStarted = (): RekeyError => notExecuted('The command was not executed in time. Send it again.');
const unknownOutcome = (): RekeyError =>
  new RekeyError('timeout', 'The outcome of the command is unknown. Send it again under the same id.');
