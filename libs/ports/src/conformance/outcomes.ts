import type { CommandReply } from '@rekey/contracts';
import { randomUUID } from 'node:crypto';
import type { Outcome, Outcomes } from '../outcomes';

/** Outcomes for one test. They may include those of earlier tests. */
export interface OutcomesUnderTest {
  readonly outcomes: Outcomes;
  /** Opens another connection to the same outcomes, like another replica. */
  readonly another?: () => Promise<Outcomes>;
  /** Closes `outcomes` and opens them again. */
  readonly reopen?: () => Promise<Outcomes>;
  readonly close: () => Promise<void>;
}

const at = (minute: number): string => new Date(Date.UTC(2026, 0, 2, 3, minute)).toISOString();

const exampleReply = (more: Partial<CommandReply> = {}): CommandReply => ({
  id: randomUUID(),
  status: 'accepted',
  replayed: false,
  revision: 3,
  position: '00000000000000000042',
  ...more,
});

const exampleOutcome = (more: Partial<Outcome> = {}): Outcome => ({
  commandId: randomUUID(),
  fingerprint: 'f'.repeat(64),
  caller: 'test',
  recordedAt: at(0),
  reply: exampleReply(),
  ...more,
});

/** Looks like a compact JWE. */
const sealedExample = (text = 'ciphertext'): string => `header.key.vector.${text}.tag`;

/** Conformance suite of `Outcomes`. `make` returns a new connection for each test. */
export const outcomesConformance = (name: string, make: () => Promise<OutcomesUnderTest>): void => {
  describe(`${name} as Outcomes`, () => {
    let made: OutcomesUnderTest;
    let outcomes: Outcomes;
    const anotherOrSame = async (): Promise<Outcomes> => (await made.another?.()) ?? outcomes;

    beforeEach(async () => {
      made = await make();
      outcomes = made.outcomes;
    });
    afterEach(() => made.close());

    it('finds nothing for an unknown command', async () => {
      expect(await outcomes.find(randomUUID())).toBeNull();
      expect(await outcomes.sealed(randomUUID(), at(0))).toBeNull();
    });

    it('returns an outcome as it was recorded', async () => {
      const accepted = exampleOutcome({
        valueEventId: randomUUID(),
        reply: exampleReply({ result: { secretId: randomUUID(), version: 2, hint: 'ä"\\\u2028' } }),
      });
      const error = { code: 'too_many_secrets', message: 'No more.', details: { limit: 10, field: 'x' } } as const;
      const rejected = exampleOutcome({
        reply: exampleReply({ status: 'rejected', revision: -1, position: '', error }),
      });
      for (const outcome of [accepted, rejected]) {
        expect(await outcomes.record(outcome)).toEqual(outcome);
        expect(await outcomes.find(outcome.commandId)).toEqual(outcome);
        expect(await (await anotherOrSame()).find(outcome.commandId)).toEqual(outcome);
      }
    });

    it('keeps the first outcome of a command, and returns it to all who record another', async () => {
      const first = exampleOutcome();
      await outcomes.record(first);
      const later = { ...first, fingerprint: 'e'.repeat(64), recordedAt: at(1), reply: exampleReply({ revision: 9 }) };
      expect(await (await anotherOrSame()).record(later)).toEqual(first);
      expect(await outcomes.find(first.commandId)).toEqual(first);
    });

    it('keeps one of many outcomes that are recorded at the same time, and returns it to all', async () => {
      const commandId = randomUUID();
      const replicas = [outcomes, await anotherOrSame()];
      const tries = Array.from({ length: 30 }, (_, revision) =>
        exampleOutcome({ commandId, reply: exampleReply({ revision }) }),
      );
      const stored = await Promise.all(tries.map((each, index) => (replicas[index % 2] as Outcomes).record(each)));
      expect(new Set(stored.map((each) => each.reply.revision)).size).toBe(1);
      expect(tries).toContainEqual(stored[0]);
      expect(await outcomes.find(commandId)).toEqual(stored[0]);
    });

    it('refuses an outcome with a value, and a value that is not sealed', async () => {
      const holding = exampleOutcome({ reply: exampleReply({ result: { sealedSecret: sealedExample() } }) });
      await expect(outcomes.record(holding)).rejects.toThrow();
      expect(await outcomes.find(holding.commandId)).toBeNull();
      const eventId = randomUUID();
      await expect(outcomes.seal({ eventId, sealedSecret: 'a value in clear', expiresAt: at(15) })).rejects.toThrow();
      expect(await outcomes.sealed(eventId, at(0))).toBeNull();
    });

    it('keeps a sealed value until it expires', async () => {
      const eventId = randomUUID();
      await outcomes.seal({ eventId, sealedSecret: sealedExample(), expiresAt: at(15) });
      expect(await (await anotherOrSame()).sealed(eventId, at(0))).toBe(sealedExample());
      expect(await outcomes.sealed(eventId, '2026-01-02T03:14:59.999Z')).toBe(sealedExample());
      expect(await outcomes.sealed(eventId, at(15))).toBeNull();
    });

    it('accepts the same sealed value again, and keeps the later one if they differ', async () => {
      const eventId = randomUUID();
      const sealed = { eventId, sealedSecret: sealedExample(), expiresAt: at(15) };
      await outcomes.seal(sealed);
      await outcomes.seal(sealed);
      expect(await outcomes.sealed(eventId, at(0))).toBe(sealedExample());
      await outcomes.seal({ ...sealed, sealedSecret: sealedExample('other'), expiresAt: at(20) });
      expect(await outcomes.sealed(eventId, at(16))).toBe(sealedExample('other'));
    });

    it('purges what is old, and nothing else', async () => {
      const [old, young] = [exampleOutcome({ recordedAt: at(0) }), exampleOutcome({ recordedAt: at(10) })];
      const [over, running] = [randomUUID(), randomUUID()];
      await Promise.all([outcomes.record(old), outcomes.record(young)]);
      await outcomes.seal({ eventId: over, sealedSecret: sealedExample(), expiresAt: at(20) });
      await outcomes.seal({ eventId: running, sealedSecret: sealedExample(), expiresAt: at(21) });
      await outcomes.purge(at(10), at(20));
      expect(await outcomes.find(old.commandId)).toBeNull();
      expect(await outcomes.find(young.commandId)).toEqual(young);
      // Reads as of a time when both are valid, so that only a purged value is null.
      expect(await outcomes.sealed(over, at(0))).toBeNull();
      expect(await outcomes.sealed(running, at(0))).toBe(sealedExample());
      const again = { ...old, recordedAt: at(30) };
      expect(await outcomes.record(again)).toEqual(again);
    });

    it('has all recorded outcomes after it is opened again', async () => {
      if (!made.reopen) return;
      const outcome = exampleOutcome();
      const eventId = randomUUID();
      await outcomes.record(outcome);
      await outcomes.seal({ eventId, sealedSecret: sealedExample(), expiresAt: at(15) });
      const opened = await made.reopen();
      expect(await opened.find(outcome.commandId)).toEqual(outcome);
      expect(await opened.record({ ...outcome, caller: 'other' })).toEqual(outcome);
      expect(await opened.sealed(eventId, at(0))).toBe(sealedExample());
    });
  });
};
