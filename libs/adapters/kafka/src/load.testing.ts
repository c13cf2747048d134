import { RekeyError, type CommandReply } from '@rekey/contracts';
import type { CommandRequest } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import type { KafkaCommandBus } from './kafka-command-bus';
import { CALLER, exampleCommand, until, type Effects } from './kafka.testing';

/** Brokers are stopped and started meanwhile, on a busy machine. */
export const PATIENT_MS = 90_000;
const KEYS = 8;

/** A command to a key, and who sends it. */
export const requestTo = (key: string): CommandRequest => ({
  command: exampleCommand(key),
  caller: CALLER,
  correlationId: randomUUID(),
});

/** Sends as a caller does who wants to know: again, under the same id, where the bus has no answer. */
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

/** Senders at work, each on a key of its own, one command after the other. */
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

  /** Nothing acknowledged was lost, nothing done twice, all in order. */
  async end(effects: Effects): Promise<void> {
    this.going = false;
    await Promise.all(this.work);
    for (const [key, ids] of this.sent) expect(effects.of(key)).toEqual(ids);
  }
}
