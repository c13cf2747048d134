import { TestProcess, bundled } from '@rekey/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { FakeServer } from './fake-server.testing';

const STREAMS = 8;
const APPENDS = 40;

let folder: string;
let server: FakeServer;

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'rekey-eventstoredb-'));
  server = await FakeServer.start();
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** What a network and a server do to those who rely on them, one after the other. */
const disturb = async (round: number): Promise<void> => {
  if (round % 3 === 0) server.network.cut();
  else if (round % 3 === 1) {
    await server.network.shut();
    await server.network.open();
  } else {
    server.network.freeze();
    await setTimeout(20);
    server.network.unfreeze();
  }
};

it('a process with two clients survives what befalls its server, appends each event once, and ends by itself', async () => {
  const program = bundled(path.join(__dirname, 'append-load.testing.ts'), folder);
  const appending = new TestProcess(program, { args: [server.url, String(STREAMS), String(APPENDS)] });
  let rounds = 0;
  appending.watch(() => {
    const acknowledged = appending.output.split('.').length - 1;
    // By progress, so that the disturbances do not depend on the speed of the machine.
    if (acknowledged >= (rounds + 1) * 30) void disturb(rounds++);
  });
  const code = await appending.exited;
  expect({ code, output: appending.output.replaceAll('.', '').trim() }).toEqual({
    code: 0,
    output: `seen ${STREAMS * APPENDS}`,
  });
  expect(rounds).toBeGreaterThan(5);
  for (let stream = 0; stream < STREAMS; stream++) {
    const events = server.log.read(`application-${stream}`);
    const numbers =
      events === 'deleted' ? [] : events?.map(({ data }) => JSON.parse(Buffer.from(data).toString()).number);
    expect(numbers).toEqual(Array.from({ length: APPENDS }, (_, number) => number));
  }
  expect(server.calls.batchAppend).toBe(0);
});
