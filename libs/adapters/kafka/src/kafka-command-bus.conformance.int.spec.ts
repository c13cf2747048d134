import { commandBusConformance } from '@rekey/ports/conformance';
import { describeOn } from '@rekey/testing';
import { connectionTo, deleteTopics, createTopics, openBus } from './kafka.testing';

describeOn(['kafka'], ({ kafka: url }) => {
  commandBusConformance('KafkaCommandBus', async () => {
    const connection = connectionTo(url);
    const topics = await createTopics(connection);
    const bus = openBus(connection, topics);
    const server = openBus(connection, topics);
    return {
      bus,
      server,
      close: async () => {
        await Promise.all([bus.close(), server.close()]);
        await deleteTopics(connection, topics);
      },
    };
  });
});
