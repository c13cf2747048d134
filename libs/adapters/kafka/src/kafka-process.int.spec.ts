import { TestProcess, bundled, describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CALLER, connectionTo, deleteTopics, exampleCommand, createTopics, openBus, until } from './kafka.testing';
import { topicsOf } from './topics/topics';

jest.setTimeout(180_000);
const PATIENT_MS = 90_000;

describeOn(['kafka'], ({ kafka: url }) => {
  const prefix = `killed-${randomUUID().slice(0, 8)}.`;
  const topics = topicsOf(prefix);
  const connection = connectionTo(url);
  const processes: TestProcess[] = [];
  let folder: string;
  let program: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'rekey-kafka-'));
    program = bundled(path.join(__dirname, 'service-process.testing.ts'), folder);
  });
  afterAll(async () => {
    await Promise.all(processes.map((each) => each.kill()));
    await deleteTopics(connection, topics);
    rmSync(folder, { recursive: true });
  });

  /** A command-service in a process; `handled`: the ids of the commands that it has taken. */
  const service = (name: string) => {
    const file = path.join(folder, name);
    const launched = new TestProcess(program, { args: [url, prefix, file] });
    processes.push(launched);
    const handled = (): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
    return { process: launched, handled };
  };

  it('waits for topics, loses nothing when a service is killed, lets another take over, and exits on SIGTERM', async () => {
    const services = [service('one'), service('two')];
    const wait = (): boolean => services.every(({ process }) => process.output.includes('does not exist'));
    await until('both wait for their topics', wait, PATIENT_MS);
    await createTopics(connection, 4, topics);
    const bus = openBus(connection, topics);
    const ids: string[] = [];
    let going = true;
    const working = Array.from({ length: 16 }, async () => {
      while (going) {
        const command = exampleCommand();
        ids.push(command.id);
        const reply = await bus.send({ command, caller: CALLER, correlationId: command.id }, PATIENT_MS);
        expect(reply).toMatchObject({ id: command.id, status: 'accepted' });
      }
    });
    const handled = (more: number, by: typeof services): Promise<void> => {
      const from = by.map((each) => each.handled().length);
      const all = () => by.every((each, index) => each.handled().length >= (from[index] ?? 0) + more);
      return until(`${more} more are handled`, all, PATIENT_MS);
    };
    await handled(50, services);
    const [killed, left] = services as [(typeof services)[0], (typeof services)[0]];
    await killed.process.kill();
    await handled(200, [left]);
    const third = service('three');
    await handled(50, [left, third]);
    expect(await left.process.stop()).toBe(0);
    await handled(50, [third]);
    going = false;
    await Promise.all(working);
    await bus.close();
    expect(await third.process.stop()).toBe(0);
    const done = new Set([...killed.handled(), ...left.handled(), ...third.handled()]);
    expect(ids.filter((id) => !done.has(id))).toEqual([]);
  });
});
