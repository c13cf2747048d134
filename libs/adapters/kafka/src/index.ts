export type { KafkaConnection, KafkaLog, KafkaSasl } from './connection';
export { KafkaCommandBus, type KafkaCommandBusOptions } from './kafka-command-bus';
export { KafkaCommandSender, type KafkaCommandSenderOptions } from './sending/kafka-command-sender';
export { KafkaEventPublisher, type KafkaEventPublisherOptions } from './sending/kafka-event-publisher';
export { KafkaNotifier, type KafkaNotifierOptions } from './sending/kafka-notifier';
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
} from './topics/topics';
