import { randomUUID } from 'node:crypto';
import {
  CALLER,
  acceptedReply,
  connectionTo,
  deleteTopics,
  exampleCommand,
  createTopics,
  openBus,
  until,
} from './kafka.testing';

// How fast commands come and go over a broker, with a handler that does nothing: BROKER [SENDERS [COMMANDS]].
// Sender and server are two buses in this process; signing stands for nothing. Build: esbuild, as the tests do.
const [url = '', senders = '50', commands = '20000'] = process.argv.slice(2);
const WARM_UP = 500;
const SEQUENTIAL = 2_000;

const measure = async (): Promise<void> => {
  const connection = connectionTo(url);
  const topics = await createTopics(connection, 12);
  const [server, bus] = [openBus(connection, topics), openBus(connection, topics)];
  await server.serve(async (request) => acceptedReply(request));
  await until('both are ready', async () => (await server.status()).ready && (await bus.status()).ready);
  const send = () => bus.send({ command: exampleCommand(), caller: CALLER, correlationId: randomUUID() }, 60_000);
  for (let count = 0; count < WARM_UP; count++) await send();
  const times: number[] = [];
  for (let count = 0; count < SEQUENTIAL; count++) {
    const from = performance.now();
    await send();
    times.push(performance.now() - from);
  }
  times.sort((one, other) => one - other);
  const at = (share: number): string => (times[Math.floor(times.length * share)] ?? 0).toFixed(2);
  process.stdout.write(`one after the other: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms\n`);
  let left = Number(commands);
  const from = performance.now();
  await Promise.all(
    Array.from({ length: Number(senders) }, async () => {
      while (left-- > 0) await send();
    }),
  );
  const rate = Number(commands) / ((performance.now() - from) / 1_000);
  process.stdout.write(`${senders} at the same time: ${rate.toFixed(0)} commands/s\n`);
  await Promise.all([server.close(), bus.close()]);
  await deleteTopics(connection, topics);
};

void measure();
