import { topicsOf, type KafkaConnection, type KafkaLog, type KafkaTopics } from '@rekey/adapters/kafka';
import type { Config } from '@rekey/platform';

/** How to reach the brokers that the configuration names; `clientId` names the process in their logs. */
export const kafkaConnectionOf = (config: Config, log: KafkaLog, clientId: string): KafkaConnection => {
  const { brokers, ssl, sasl } = config.kafka;
  const { ca, cert, key, password } = config.secrets.kafka;
  const own = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return {
    brokers,
    clientId,
    log,
    ...(ssl.enabled && { ssl: Object.keys(own).length > 0 ? own : true }),
    ...(sasl && { sasl: { mechanism: sasl.mechanism, username: sasl.username, password: password ?? '' } }),
  };
};

/** The topics of the configuration. A topic of notices that has a name of its own (`notifiers.kafka.topic`) is one of them. */
export const kafkaTopicsOf = ({ kafka, notifiers }: Config): KafkaTopics => {
  const topics = topicsOf(kafka.topicPrefix);
  return { ...topics, notifications: notifiers.kafka.topic ?? topics.notifications };
};
