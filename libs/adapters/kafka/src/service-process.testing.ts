import { appendFileSync } from 'node:fs';
import { acceptedReply, connectionTo, openBus } from './kafka.testing';
import { topicsOf } from './topics/topics';

// A command-service of its own: BROKER PREFIX FILE. Writes the id of each command into the file before it answers.
// Prints what it warns of.
const [url = '', prefix = '', file = ''] = process.argv.slice(2);
const silent = (): void => undefined;
const say = (facts: object, message: string): void =>
  void process.stdout.write(`${message} ${JSON.stringify(facts)}\n`);
const connection = connectionTo(url, { debug: silent, info: silent, warn: say, error: say });
const bus = openBus(connection, topicsOf(prefix));
process.once('SIGTERM', () => void bus.close());
void bus.serve(async (request) => {
  appendFileSync(file, `${request.command.id}\n`);
  return acceptedReply(request);
});
