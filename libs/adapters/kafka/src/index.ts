export type { KafkaConnection, KafkaLog, KafkaSasl } from './connection';
export { KafkaCommandBus, type KafkaCommandBusOptions } from './kafka-command-bus';
export { KafkaCommandSender, type KafkaCommandSenderOptions } from './kafka-command-sender';
export type { DeadReason, KafkaObserver } from './observer';
export {
  TOPIC_SETTINGS, defaultReplyTopics, ensureTopics, topicsOf,
  type EnsureTopicsOptions, type KafkaTopics, type TopicName, type TopicSettings,
} from './topics'; // prettier-ignore
