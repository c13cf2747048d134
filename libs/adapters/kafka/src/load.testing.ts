import { RekeyError, type CommandReply } from '@rekey/contracts';
import type { CommandRequest } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import type { KafkaCommandBus } from './kafka-command-bus';
import { CALLER, exampleCommand, until, type Effects } from './kafka.testing';

/** Long enough for brokers to restart on a busy machine. */
export const PATIENT_MS = 90_000;
const KEYS = 8;

/** Returns a request with a command for a key. */
export const requestTo = (key: string): CommandRequest => ({
  command: exampleCommand(key),
  caller: CALLER,
  correlationId: randomUUID(),
});

/** Retries a command with the same id until its outcome is known. */
export const sendUntilAnswered = async (
  bus: KafkaCommandBus,
  request: CommandRequest,
  timeoutMs: number,
): Promise<CommandReply> => {
  const deadline = Date.now() + PATIENT_MS;
  for (;;)
    try {
      return await bus.send(request, timeoutMs);
    } catch (error) {
      const again = error instanceof RekeyError && ['timeout', 'unavailable'].includes(error.code);
      if (!again || Date.now() > deadline) throw error;
    }
};

/** Concurrent senders, each with its own key, that send one command after the other. */
export class Load {
  replies = 0;
  private going = true;
  private readonly work: Promise<void>[];
  private readonly keys = Array.from({ length: KEYS }, () => randomUUID());
  private readonly sent = new Map(this.keys.map((key) => [key, [] as string[]]));

  constructor(bus: KafkaCommandBus, timeoutMs: number) {
    this.work = this.keys.map(async (key) => {
      while (this.going) {
        const request = requestTo(key);
        this.sent.get(key)?.push(request.command.id);
        expect(await sendUntilAnswered(bus, request, timeoutMs)).toMatchObject({
          id: request.command.id,
          status: 'accepted',
        });
        this.replies++;
      }
    });
  }

  async makesProgress(replies = 100): Promise<void> {
    const from = this.replies;
    await Promise.race([
      until(`${replies} more replies`, () => this.replies >= from + replies, PATIENT_MS),
      Promise.all(this.work),
    ]);
  }

  /** Stops, and expects that every command was executed once and in order. */
  async end(effects: Effects): Promise<void> {
    this.going = false;
    await Promise.all(this.work);
    for (const [key, ids] of this.sent) expect(effects.of(key)).toEqual(ids);
  }
}
