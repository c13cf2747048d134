import { appendFileSync } from 'node:fs';
import { acceptedReply, connectionTo, openBus } from './kafka.testing';
import { topicsOf } from './topics';

// A command-service of its own: BROKER PREFIX FILE. Writes the id of each command into the file before it answers.
const [url = '', prefix = '', file = ''] = process.argv.slice(2);
const bus = openBus(connectionTo(url), topicsOf(prefix));
process.once('SIGTERM', () => void bus.close());
void bus.serve(async (request) => {
  appendFileSync(file, `${request.command.id}\n`);
  return acceptedReply(request);
});
