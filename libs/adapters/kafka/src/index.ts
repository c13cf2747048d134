export type { KafkaConnection, KafkaLog, KafkaSasl } from './connection';
export { KafkaCommandBus, type KafkaCommandBusOptions } from './kafka-command-bus';
export { KafkaCommandSender, type KafkaCommandSenderOptions } from './kafka-command-sender';
export { KafkaEventPublisher, type KafkaEventPublisherOptions } from './kafka-event-publisher';
export { KafkaNotifier, type KafkaNotifierOptions } from './kafka-notifier';
export type { DeadReason, KafkaObserver } from './observer';
export {
  TOPIC_SETTINGS,
  TopicDirectory,
  defaultReplyTopics,
  ensureTopics,
  topicsOf,
  type EnsureTopicsOptions,
  type KafkaTopics,
  type TopicName,
  type TopicSettings,
} from './topics';
